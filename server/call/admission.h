// Permission to hold bytes: nothing is read or allocated for a call before it
// has a ticket for it.
//
// How long a message is stays unknown until it is read, so a call enters with
// the most that it could hold and shrinks its ticket once it knows. Calls that
// find no room wait in order of arrival.
//
// A client that sends its messages a byte at a time holds what its calls
// entered with. So that it does not shut out the others, a quarter of all bytes
// is left to clients who have no other call under way.
#ifndef HALFSTEP_SERVER_CALL_ADMISSION_H_
#define HALFSTEP_SERVER_CALL_ADMISSION_H_

#include <cstddef>
#include <cstdint>
#include <deque>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace halfstep {

class Admission;

// Permission to hold bytes(); given back exactly once, at the latest when it is
// destroyed. Moves, but does not copy. Must not outlive its Admission. Used by
// one thread at a time.
class Ticket {
 public:
  Ticket() = default;
  Ticket(Ticket&& other) noexcept;
  Ticket& operator=(Ticket&& other) noexcept;
  ~Ticket() { Release(); }

  uint64_t bytes() const { return bytes_; }

  // Holds `bytes` from now on. Less than before always succeeds; more is a
  // BusyError where there is no room now, and the ticket stays as it is.
  absl::Status Resize(uint64_t bytes);

  // Gives everything back.
  void Release();

 private:
  friend class Admission;
  Ticket(Admission* admission, uint64_t bytes)
      : admission_(admission), bytes_(bytes) {}

  Admission* admission_ = nullptr;
  uint64_t bytes_ = 0;
};

// Thread-safe.
class Admission {
 public:
  // Someone who wants a ticket.
  class Waiter {
   public:
    // Called once, on whatever thread made room, without any lock held.
    virtual void Admitted(Ticket ticket) = 0;

   protected:
    ~Waiter() = default;
  };

  struct Limits {
    uint64_t bytes_max;
    size_t waiting_max;
  };

  explicit Admission(const Limits& limits) : limits_(limits) {}
  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;

  // OK: `waiter` is admitted with a ticket for `bytes` now or later, unless it
  // leaves. Otherwise it never is: a BusyError if too many wait already,
  // UNAVAILABLE after Close. Requires bytes <= bytes_max.
  // `is_only_call`: the caller has no other call under way.
  absl::Status Enter(uint64_t bytes, Waiter& waiter, bool is_only_call = true);

  // True: `waiter` was still waiting, and is not admitted any more. False: it
  // has been admitted, or is just being.
  bool Leave(const Waiter& waiter);

  // Refuses everyone who enters from now on. Who waits already goes on waiting.
  void Close();

  // Waits until nobody waits or holds a ticket; false if that is not so at
  // `deadline`.
  bool AwaitEmpty(absl::Time deadline) const;

  // Waits until Close was, and the last refusal after it, at least `quiet` ago;
  // false if that is not so at `deadline`.
  bool AwaitQuiet(absl::Duration quiet, absl::Time deadline) const;

  uint64_t bytes_in_flight() const;
  size_t waiting() const;
  // Tickets given out so far.
  uint64_t admitted() const;

 private:
  friend class Ticket;
  struct Entry {
    Waiter* waiter;
    uint64_t bytes;
    bool is_only_call;
  };

  bool HasRoom(uint64_t bytes) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return bytes <= limits_.bytes_max - bytes_in_flight_;
  }
  // Room for whom `entry` says. Whoever is alone has all of it, and where there
  // are fewer than three places there is nothing to share.
  bool HasRoomFor(const Entry& entry) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const bool has_all = entry.is_only_call || bytes_in_flight_ == 0 ||
                         limits_.bytes_max / 3 < entry.bytes;
    return HasRoom(entry.bytes + (has_all ? 0 : limits_.bytes_max / 4));
  }
  bool IsEmpty() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return waiting_.empty() && tickets_ == 0;
  }
  Ticket Issue(uint64_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Grow(uint64_t more);
  void GiveBack(uint64_t bytes, bool is_ticket_over);
  // Admits whoever has room now.
  void AdmitWaiting() ABSL_LOCKS_EXCLUDED(mutex_);

  const Limits limits_;
  mutable absl::Mutex mutex_;
  // At most bytes_max, always.
  uint64_t bytes_in_flight_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t tickets_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t admitted_ ABSL_GUARDED_BY(mutex_) = 0;
  std::deque<Entry> waiting_ ABSL_GUARDED_BY(mutex_);
  size_t only_calls_waiting_ ABSL_GUARDED_BY(mutex_) = 0;  // of them
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Time last_refusal_ ABSL_GUARDED_BY(mutex_);  // or Close
};

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_CALL_ADMISSION_H_

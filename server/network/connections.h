// The connections that are open: how many there are, and an end to those that
// make the server hold more than their calls may.
//
// gRPC owns a connection once it has it: it closes the descriptor without
// telling anybody. What is still open is therefore found out by looking: a
// descriptor number that leads to another socket than it did is a connection
// that has gone.
//
// And gRPC 1.51 buffers without a bound what is not yet a whole message or a
// whole block of headers: a message that declares a gigabyte, say. So the bytes
// that a connection has sent, as the kernel counts them, are held against what
// its calls account for; and the calls that gRPC has begun, as gRPC counts
// them, against what a client may have open.
#ifndef HALFSTEP_SERVER_NETWORK_CONNECTIONS_H_
#define HALFSTEP_SERVER_NETWORK_CONNECTIONS_H_

#include <sys/socket.h>
#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "server/options.h"

namespace halfstep {

// One connection, as its calls see it. Thread-safe.
class Connection {
 public:
  // How many calls gRPC has begun and not cleared away on the connection
  // `peer`; nullopt if it knows of none. `is_new`: it has hardly been asked
  // about yet.
  using BegunOn = std::function<std::optional<uint64_t>(absl::string_view peer,
                                                        bool is_new)>;

  Connection(int fd, ino_t inode, std::string name, std::string host,
             const ConnectionLimits& limits)
      : fd_(fd),
        inode_(inode),
        name_(std::move(name)),
        host_(std::move(host)),
        metadata_bytes_(limits.max_metadata_bytes),
        calls_max_(limits.max_streams_per_connection) {}

  // A call has begun. What this returns goes to the one that ends it.
  uint64_t BeginCall();
  // It is over; `is_taken`: nothing was left unread. Of the `bytes_out` of its
  // replies come the client's window updates.
  void EndCall(bool is_taken, uint64_t begin, uint64_t bytes_out);

  // Calls that have begun and are not over.
  size_t open_calls() const {
    // In this order, so that it is never less than 0.
    const uint64_t ended = ended_calls_;
    return begun_calls_ - ended;
  }
  // Whether it has been closed for what it did: its calls need no answer.
  bool is_ended() const { return is_ended_; }
  // A call was cancelled by its client.
  void CountCancelled() { ++cancelled_calls_; }

  // A message of at most `bytes_max` is being read. What this returns goes to
  // the one that ends the reading.
  uint64_t BeginRead(uint64_t bytes_max);
  // It was read, and has `bytes`.
  void EndRead(uint64_t bytes_max, uint64_t bytes);
  // It was not, and whatever came of it is gone.
  void AbandonRead(uint64_t bytes_max, uint64_t begin);

 private:
  friend class Connections;

  // The bytes that its calls account for, so far.
  uint64_t accounted_bytes() const {
    return begun_calls_ * metadata_bytes_ + message_bytes_ + forgiven_bytes_;
  }
  // At most `bytes_max` of what came since `begin` is gone.
  void Forgive(uint64_t bytes_max, uint64_t begin);
  // Whether its two ends still talk to each other.
  bool IsEstablished() const;
  // Why it must be closed, `seconds` after this was asked last; empty if it
  // must not. `begun` is asked as long as `looks`, which it is counted off,
  // allows.
  std::string Fault(double seconds, const BegunOn& begun, int& looks);
  // More calls have begun than can be cleared away. Asks as long as `looks`
  // allows.
  bool IsPilingUp(double seconds, const BegunOn& begun, int& looks);

  const int fd_;
  const ino_t inode_;
  const std::string name_;         // as gRPC has it
  const std::string host_;         // empty: a unix socket
  const uint64_t metadata_bytes_;  // of one call, at most
  const uint64_t calls_max_;       // that a client may have open
  // Written by every call: as few as will do.
  std::atomic<uint64_t> begun_calls_{0};
  std::atomic<uint64_t> ended_calls_{0};
  std::atomic<uint64_t> message_bytes_{0};   // and what comes beside them
  std::atomic<uint64_t> readable_bytes_{0};  // of messages
  // Seldom written.
  std::atomic<uint64_t> received_bytes_{0};  // as of the last sweep
  std::atomic<uint64_t> abandoned_bytes_max_{0};
  std::atomic<uint64_t> abandoned_begin_{UINT64_MAX};
  std::atomic<bool> is_ended_{false};
  std::atomic<uint64_t> cancelled_calls_{0};
  // The sweep's own.
  uint64_t forgiven_bytes_ = 0;
  double cancel_debt_ = 0;
  double excess_seconds_ = 0;
  // What was received and not explained when it was least, or last worth a
  // look.
  int64_t unexplained_floor_ = 0;
  double look_seconds_ = 0;    // how much longer it is worth one
  double looked_seconds_ = 0;  // for how long it has been
};

// Thread-safe.
class Connections {
 public:
  // `begun`: asked by Sweep alone, about those that send much.
  explicit Connections(const ConnectionLimits& limits,
                       Connection::BegunOn begun = nullptr)
      : limits_(limits), begun_(std::move(begun)) {}
  Connections(const Connections&) = delete;
  Connections& operator=(const Connections&) = delete;

  // Takes note of `fd`, just accepted from `peer`. False: there are too many
  // connections, of all or of that host, or one to another of our addresses has
  // the same peer, and gRPC could not tell their calls apart; it must be
  // closed.
  bool Add(int fd, const sockaddr_storage& peer);

  // The open connection that gRPC calls `peer` ("ipv4:127.0.0.1:42522"), or
  // null: those over unix sockets have no names.
  std::shared_ptr<Connection> Find(absl::string_view peer) const;

  // Forgets what has been closed, and closes what must not go on. Returns a
  // line about each of those. To be called every SweepInterval(), by one
  // thread.
  std::vector<std::string> Sweep();

  // Short, so that little comes in between; longer with more connections, up to
  // a bound, so that looking at 500 costs about a hundredth of a core. Infinite
  // if there are none.
  absl::Duration SweepInterval() const;

  // Waits until the other end has taken all that was sent to it; false if that
  // is not so at `deadline`.
  bool AwaitSent(absl::Time deadline) const;

  size_t count() const;
  // One was turned away before it could be added.
  void CountShed() { ++shed_; }
  // Turned away, and closed by Sweep, so far.
  uint64_t shed() const { return shed_.load(); }
  uint64_t ended() const { return ended_.load(); }

 private:
  bool HasRoomFor(const std::string& host) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Forget(const Connection& connection)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ForgetClosed() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const ConnectionLimits limits_;
  const Connection::BegunOn begun_;
  mutable absl::Mutex mutex_;
  // By gRPC's name for the peer; unix sockets, which share one, by descriptor.
  absl::flat_hash_map<std::string, std::shared_ptr<Connection>> open_
      ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::string, size_t> by_host_ ABSL_GUARDED_BY(mutex_);
  absl::Time last_look_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  absl::Time last_sweep_ ABSL_GUARDED_BY(mutex_) = absl::Now();
  // The sweep's own.
  size_t next_look_ = 0;  // whose turn it is to be asked about
  std::atomic<uint64_t> shed_{0};
  std::atomic<uint64_t> ended_{0};
};

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_NETWORK_CONNECTIONS_H_

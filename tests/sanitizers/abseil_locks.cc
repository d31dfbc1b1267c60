// Tells ThreadSanitizer what Abseil's locks order.
//
// Debian's Abseil is not instrumented, and its locks are made of atomics and
// futexes of its own: ThreadSanitizer would not see one of them, and would call
// everything that they guard a race. So the definitions below stand in front of
// the library's, for our code as for gRPC, whose locks are Abseil's, too: each
// does what the library's does and says so. They only tell of order that there
// is; nothing is silenced by them.
//
// Linked into every program of the preset tsan, and itself not instrumented.
#include <sanitizer/tsan_interface.h>

#include <cstddef>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "tests/sanitizers/real.h"

namespace {

using ::halfstep::Real;

constexpr unsigned kExclusive = 0;
constexpr unsigned kShared = __tsan_mutex_read_lock;

using Method = void(void*);
using TryMethod = bool(void*);

// Some of the library's functions are made of others, which then come here,
// too: what the outermost says is enough.
thread_local int depth = 0;

class Outermost {
 public:
  Outermost() : is_outermost_(depth++ == 0) {}
  ~Outermost() { --depth; }
  explicit operator bool() const { return is_outermost_; }

 private:
  const bool is_outermost_;
};

// `lock` takes the lock, whatever it returns.
template <typename Lock>
bool LockedWhen(void* mutex, const Lock& lock) {
  const Outermost outermost;
  if (outermost) __tsan_mutex_pre_lock(mutex, kExclusive);
  const bool result = lock();
  if (outermost) __tsan_mutex_post_lock(mutex, kExclusive, 0);
  return result;
}

void Locked(Real<Method>& real, void* mutex, unsigned flags) {
  const Outermost outermost;
  if (outermost) __tsan_mutex_pre_lock(mutex, flags);
  real(mutex);
  if (outermost) __tsan_mutex_post_lock(mutex, flags, 0);
}

bool TryLocked(Real<TryMethod>& real, void* mutex, unsigned flags) {
  const Outermost outermost;
  if (!outermost) return real(mutex);
  flags |= __tsan_mutex_try_lock;
  __tsan_mutex_pre_lock(mutex, flags);
  const bool is_taken = real(mutex);
  __tsan_mutex_post_lock(
      mutex, is_taken ? flags : flags | __tsan_mutex_try_lock_failed, 0);
  return is_taken;
}

void Unlocked(Real<Method>& real, void* mutex, unsigned flags) {
  const Outermost outermost;
  if (outermost) __tsan_mutex_pre_unlock(mutex, flags);
  real(mutex);
  if (outermost) __tsan_mutex_post_unlock(mutex, flags);
}

// `wait` gives the lock up and takes it again. What it reads itself, to see
// whether a condition holds, is not looked at.
template <typename Wait>
bool Waited(void* mutex, const Wait& wait) {
  const Outermost outermost;
  if (!outermost) return wait();
  __tsan_mutex_pre_unlock(mutex, kExclusive);
  const bool result = wait();
  __tsan_mutex_post_unlock(mutex, kExclusive);
  __tsan_mutex_pre_lock(mutex, kExclusive);
  __tsan_mutex_post_lock(mutex, kExclusive, 0);
  return result;
}

// A notification is a mutex and the flag that HasBeenNotified loads, in a
// header that is instrumented.
void* FlagOf(void* notification) {
  return static_cast<std::byte*>(notification) + sizeof(absl::Mutex);
}
static_assert(sizeof(absl::Notification) == 2 * sizeof(absl::Mutex));

}  // namespace

// The names are those of Debian's Abseil, in its inline namespace.

void Destroy(void* mutex) __asm__("_ZN4absl7debian35MutexD1Ev");
void Destroy(void* mutex) {
  static Real<Method> real("_ZN4absl7debian35MutexD1Ev");
  real(mutex);
  __tsan_mutex_destroy(mutex, __tsan_mutex_not_static);
}

void Lock(void* mutex) __asm__("_ZN4absl7debian35Mutex4LockEv");
void Lock(void* mutex) {
  static Real<Method> real("_ZN4absl7debian35Mutex4LockEv");
  Locked(real, mutex, kExclusive);
}

void Unlock(void* mutex) __asm__("_ZN4absl7debian35Mutex6UnlockEv");
void Unlock(void* mutex) {
  static Real<Method> real("_ZN4absl7debian35Mutex6UnlockEv");
  Unlocked(real, mutex, kExclusive);
}

bool TryLock(void* mutex) __asm__("_ZN4absl7debian35Mutex7TryLockEv");
bool TryLock(void* mutex) {
  static Real<TryMethod> real("_ZN4absl7debian35Mutex7TryLockEv");
  return TryLocked(real, mutex, kExclusive);
}

void ReaderLock(void* mutex) __asm__("_ZN4absl7debian35Mutex10ReaderLockEv");
void ReaderLock(void* mutex) {
  static Real<Method> real("_ZN4absl7debian35Mutex10ReaderLockEv");
  Locked(real, mutex, kShared);
}

void ReaderUnlock(void* mutex) __asm__(
    "_ZN4absl7debian35Mutex12ReaderUnlockEv");
void ReaderUnlock(void* mutex) {
  static Real<Method> real("_ZN4absl7debian35Mutex12ReaderUnlockEv");
  Unlocked(real, mutex, kShared);
}

void LockWhen(void* mutex, const absl::Condition& condition) __asm__(
    "_ZN4absl7debian35Mutex8LockWhenERKNS0_9ConditionE");
void LockWhen(void* mutex, const absl::Condition& condition) {
  static Real<void(void*, const absl::Condition*)> real(
      "_ZN4absl7debian35Mutex8LockWhenERKNS0_9ConditionE");
  LockedWhen(mutex, [&] { return real(mutex, &condition), true; });
}

bool LockWhenFor(void* mutex, const absl::Condition& condition, absl::Duration timeout) __asm__(
    "_ZN4absl7debian35Mutex19LockWhenWithTimeoutERKNS0_9ConditionENS0_"
    "8DurationE");
bool LockWhenFor(void* mutex, const absl::Condition& condition,
                 absl::Duration timeout) {
  static Real<bool(void*, const absl::Condition*, absl::Duration)> real(
      "_ZN4absl7debian35Mutex19LockWhenWithTimeoutERKNS0_9ConditionENS0_"
      "8DurationE");
  return LockedWhen(mutex, [&] { return real(mutex, &condition, timeout); });
}

bool LockWhenUntil(void* mutex, const absl::Condition& condition, absl::Time deadline) __asm__(
    "_ZN4absl7debian35Mutex20LockWhenWithDeadlineERKNS0_9ConditionENS0_"
    "4TimeE");
bool LockWhenUntil(void* mutex, const absl::Condition& condition,
                   absl::Time deadline) {
  static Real<bool(void*, const absl::Condition*, absl::Time)> real(
      "_ZN4absl7debian35Mutex20LockWhenWithDeadlineERKNS0_9ConditionENS0_"
      "4TimeE");
  return LockedWhen(mutex, [&] { return real(mutex, &condition, deadline); });
}

void Await(void* mutex, const absl::Condition& condition) __asm__(
    "_ZN4absl7debian35Mutex5AwaitERKNS0_9ConditionE");
void Await(void* mutex, const absl::Condition& condition) {
  static Real<void(void*, const absl::Condition*)> real(
      "_ZN4absl7debian35Mutex5AwaitERKNS0_9ConditionE");
  Waited(mutex, [&] { return real(mutex, &condition), true; });
}

bool AwaitFor(void* mutex, const absl::Condition& condition, absl::Duration timeout) __asm__(
    "_ZN4absl7debian35Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_"
    "8DurationE");
bool AwaitFor(void* mutex, const absl::Condition& condition,
              absl::Duration timeout) {
  static Real<bool(void*, const absl::Condition*, absl::Duration)> real(
      "_ZN4absl7debian35Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_"
      "8DurationE");
  return Waited(mutex, [&] { return real(mutex, &condition, timeout); });
}

bool AwaitUntil(void* mutex, const absl::Condition& condition, absl::Time deadline) __asm__(
    "_ZN4absl7debian35Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_"
    "4TimeE");
bool AwaitUntil(void* mutex, const absl::Condition& condition,
                absl::Time deadline) {
  static Real<bool(void*, const absl::Condition*, absl::Time)> real(
      "_ZN4absl7debian35Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_"
      "4TimeE");
  return Waited(mutex, [&] { return real(mutex, &condition, deadline); });
}

void Wait(void* variable,
          void* mutex) __asm__("_ZN4absl7debian37CondVar4WaitEPNS0_5MutexE");
void Wait(void* variable, void* mutex) {
  static Real<void(void*, void*)> real(
      "_ZN4absl7debian37CondVar4WaitEPNS0_5MutexE");
  Waited(mutex, [&] { return real(variable, mutex), true; });
}

bool WaitFor(void* variable, void* mutex, absl::Duration timeout) __asm__(
    "_ZN4absl7debian37CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE");
bool WaitFor(void* variable, void* mutex, absl::Duration timeout) {
  static Real<bool(void*, void*, absl::Duration)> real(
      "_ZN4absl7debian37CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE");
  return Waited(mutex, [&] { return real(variable, mutex, timeout); });
}

bool WaitUntil(void* variable, void* mutex, absl::Time deadline) __asm__(
    "_ZN4absl7debian37CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE");
bool WaitUntil(void* variable, void* mutex, absl::Time deadline) {
  static Real<bool(void*, void*, absl::Time)> real(
      "_ZN4absl7debian37CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE");
  return Waited(mutex, [&] { return real(variable, mutex, deadline); });
}

void Notify(void* notification) __asm__(
    "_ZN4absl7debian312Notification6NotifyEv");
void Notify(void* notification) {
  static Real<Method> real("_ZN4absl7debian312Notification6NotifyEv");
  __tsan_release(FlagOf(notification));
  real(notification);
}

void AwaitNotice(void* notification) __asm__(
    "_ZNK4absl7debian312Notification19WaitForNotificationEv");
void AwaitNotice(void* notification) {
  static Real<Method> real(
      "_ZNK4absl7debian312Notification19WaitForNotificationEv");
  real(notification);
  __tsan_acquire(FlagOf(notification));
}

bool AwaitNoticeFor(void* notification, absl::Duration timeout) __asm__(
    "_ZNK4absl7debian312Notification30WaitForNotificationWithTimeoutENS0_"
    "8DurationE");
bool AwaitNoticeFor(void* notification, absl::Duration timeout) {
  static Real<bool(void*, absl::Duration)> real(
      "_ZNK4absl7debian312Notification30WaitForNotificationWithTimeoutENS0_"
      "8DurationE");
  const bool is_notified = real(notification, timeout);
  if (is_notified) __tsan_acquire(FlagOf(notification));
  return is_notified;
}

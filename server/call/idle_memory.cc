#include "server/call/idle_memory.h"

#include "absl/time/clock.h"
#include "server/call/freed_memory.h"

namespace halfstep {
IdleMemory::IdleMemory(const Admission& admission, BufferPool& buffers)
    : admission_(admission), buffers_(buffers), thread_([this] { Watch(); }) {}

IdleMemory::~IdleMemory() {
  stop_.Notify();
  thread_.join();
}

void IdleMemory::Watch() {
  uint64_t seen = admission_.admitted();
  absl::Time last_busy = absl::Now();
  absl::Time last_trim = last_busy;
  while (!stop_.WaitForNotificationWithTimeout(absl::Seconds(1))) {
    const absl::Time now = absl::Now();
    buffers_.ReleaseIdleSince(now - kIdleTime);
    const uint64_t admitted = admission_.admitted();
    if (admitted != seen || admission_.bytes_in_flight() > 0) {
      seen = admitted;
      last_busy = now;
    }
    const bool is_idle = now - last_busy >= kIdleTime && last_trim < last_busy;
    if (is_idle ||
        (now - last_trim >= kIdleTime && FreedBytes() > kFreedBytesMax)) {
      ReleaseFreedMemory();
      last_trim = now;
    }
  }
}

}  // namespace halfstep

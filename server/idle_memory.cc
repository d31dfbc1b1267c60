#include "server/idle_memory.h"

#include <malloc.h>

#include "absl/time/clock.h"

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
  bool is_trimmed = true;
  while (!stop_.WaitForNotificationWithTimeout(absl::Seconds(1))) {
    const absl::Time now = absl::Now();
    buffers_.ReleaseIdleSince(now - kIdleTime);
    const uint64_t admitted = admission_.admitted();
    if (admitted != seen || admission_.bytes_in_flight() > 0) {
      seen = admitted;
      last_busy = now;
      is_trimmed = false;
    } else if (!is_trimmed && now - last_busy >= kIdleTime) {
      malloc_trim(0);
      is_trimmed = true;
    }
  }
}

}  // namespace halfstep

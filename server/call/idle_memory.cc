#include "server/call/idle_memory.h"

#include <malloc.h>
#include <unistd.h>

#include <fstream>

#include "absl/time/clock.h"

namespace halfstep {
namespace {

// Above gRPC's read slices (server/network/transport.cc) and what else a call
// allocates at once: these come from memory that is there. The largest value
// that malloc takes.
constexpr int kMmapThresholdBytes = 32 << 20;
// Never by itself.
constexpr int kTrimThresholdBytes = 1 << 30;

// Memory of this process that is neither mapped from files nor shared.
size_t AnonymousBytes() {
  size_t total = 0;
  size_t resident = 0;
  size_t shared = 0;
  std::ifstream statm("/proc/self/statm");
  if (!(statm >> total >> resident >> shared) || resident < shared) return 0;
  return (resident - shared) * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

// Memory that malloc holds resident though nobody uses it, about.
size_t FreeBytes() {
  const struct mallinfo2 info = mallinfo2();
  const size_t used = info.uordblks + info.hblkhd;
  const size_t anonymous = AnonymousBytes();
  return anonymous > used ? anonymous - used : 0;
}

}  // namespace

void KeepFreedMemory() {
  mallopt(M_MMAP_THRESHOLD, kMmapThresholdBytes);
  mallopt(M_TRIM_THRESHOLD, kTrimThresholdBytes);
}

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
        (now - last_trim >= kIdleTime && FreeBytes() > kFreeBytesMax)) {
      malloc_trim(0);
      last_trim = now;
    }
  }
}

}  // namespace halfstep

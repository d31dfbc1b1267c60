// With the C library's malloc, under the sanitizers: they bring their own.
#include <malloc.h>
#include <unistd.h>

#include <fstream>

#include "server/call/freed_memory.h"

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

}  // namespace

void KeepFreedMemory() {
  mallopt(M_MMAP_THRESHOLD, kMmapThresholdBytes);
  mallopt(M_TRIM_THRESHOLD, kTrimThresholdBytes);
}

size_t FreedBytes() {
  const struct mallinfo2 info = mallinfo2();
  const size_t used = info.uordblks + info.hblkhd;
  const size_t anonymous = AnonymousBytes();
  return anonymous > used ? anonymous - used : 0;
}

void ReleaseFreedMemory() { malloc_trim(0); }

}  // namespace halfstep

// With tcmalloc, which calls begin and end on different threads of gRPC without
// waiting for each other (docs/adr/0009).
#include <gperftools/malloc_extension.h>

#include "server/call/freed_memory.h"

namespace halfstep {

void KeepFreedMemory() { MallocExtension::instance()->SetMemoryReleaseRate(0); }

size_t FreedBytes() {
  // Without what threads have at hand, 32 MiB at most.
  size_t bytes = 0;
  MallocExtension::instance()->GetNumericProperty(
      "tcmalloc.pageheap_free_bytes", &bytes);
  return bytes;
}

void ReleaseFreedMemory() { MallocExtension::instance()->ReleaseFreeMemory(); }

}  // namespace halfstep

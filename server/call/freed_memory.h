// What this process has freed, and its allocator holds for later.
#ifndef HALFSTEP_SERVER_CALL_FREED_MEMORY_H_
#define HALFSTEP_SERVER_CALL_FREED_MEMORY_H_

#include <cstddef>

namespace halfstep {

// Makes the allocator hold what is freed, in this whole process, until
// ReleaseFreedMemory. For main(), before threads start.
void KeepFreedMemory();

// Bytes that it holds resident though nobody uses them, about.
size_t FreedBytes();

// Gives them back to the system.
void ReleaseFreedMemory();

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_CALL_FREED_MEMORY_H_

// Keeps freed memory for the next call, and gives it back to the system when
// there is no next call.
//
// Fresh memory costs a page fault every 4 KiB: with malloc's own settings, a
// do-nothing server spent as much time on faults as on moving the bytes
// (docs/benchmarks.md). So the allocator is told to keep what is freed
// (server/call/freed_memory.h), and this looks after it.
#ifndef HALFSTEP_SERVER_CALL_IDLE_MEMORY_H_
#define HALFSTEP_SERVER_CALL_IDLE_MEMORY_H_

#include <cstddef>
#include <memory>
#include <thread>

#include "absl/synchronization/notification.h"
#include "server/call/admission.h"
#include "server/wire/buffer_pool.h"

namespace halfstep {

// A thread that looks once a second. Buffers that no call has taken for
// kIdleTime are freed; what the allocator holds goes back when no call at all
// came for as long, and, under load, whenever it holds more than kFreedBytesMax
// for nothing.
class IdleMemory {
 public:
  static constexpr absl::Duration kIdleTime = absl::Seconds(5);
  // Given back at most every kIdleTime: a load that needs it again faults it in
  // no more often than that.
  static constexpr size_t kFreedBytesMax = size_t{64} << 20;

  // Both must outlive this object.
  IdleMemory(const Admission& admission, BufferPool& buffers);
  ~IdleMemory();
  IdleMemory(const IdleMemory&) = delete;
  IdleMemory& operator=(const IdleMemory&) = delete;

 private:
  void Watch();

  const Admission& admission_;
  BufferPool& buffers_;
  absl::Notification stop_;
  std::thread thread_;
};

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_CALL_IDLE_MEMORY_H_

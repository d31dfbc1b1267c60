// Large aligned buffers that are used again.
//
// Fresh memory costs a page fault every 4 KiB, which is more than quantizing
// the 4 KiB. So the memory of large replies is kept for the next call, up to a
// bound, and given back to the system once nobody has needed it for a while.
#ifndef HALFSTEP_SERVER_WIRE_BUFFER_POOL_H_
#define HALFSTEP_SERVER_WIRE_BUFFER_POOL_H_

#include <grpcpp/support/slice.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

namespace halfstep {

class BufferPool;

// Uninitialized memory. Goes back to its pool, which it keeps alive, when it is
// destroyed. Moves, but does not copy.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();

  absl::Span<std::byte> bytes() const { return {data_, size_}; }

 private:
  friend class BufferPool;
  friend grpc::Slice ToSlice(Buffer buffer);

  // What data_ points into if that is no memory of the pool's.
  grpc::Slice slice_;
  std::shared_ptr<BufferPool> pool_;
  std::byte* data_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

// Thread-safe.
class BufferPool : public std::enable_shared_from_this<BufferPool> {
 public:
  // What every vector register is aligned to, and a cache line.
  static constexpr size_t kAlignment = 64;
  // Smaller buffers are neither kept nor aligned: malloc serves them from
  // memory it already has, as slices that are ready to be sent.
  static constexpr size_t kKeptBytesMin = size_t{64} << 10;

  // `idle_bytes_max`: how many bytes may lie idle.
  static std::shared_ptr<BufferPool> Create(size_t idle_bytes_max);
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  // A buffer of `size` bytes. Never fails but by std::bad_alloc.
  Buffer Take(size_t size);

  // Gives idle buffers that nobody has taken since `time` back to the system.
  void ReleaseIdleSince(absl::Time time);

  size_t idle_bytes() const;

 private:
  friend class Buffer;
  struct Idle {
    std::byte* data;
    size_t capacity;
    absl::Time since;
  };

  explicit BufferPool(size_t idle_bytes_max)
      : idle_bytes_max_(idle_bytes_max) {}
  void GiveBack(std::byte* data, size_t capacity);

  const size_t idle_bytes_max_;
  mutable absl::Mutex mutex_;
  // Oldest first.
  std::vector<Idle> idle_ ABSL_GUARDED_BY(mutex_);
  size_t idle_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_WIRE_BUFFER_POOL_H_

#include "server/wire/buffer_pool.h"

#include <grpc/slice.h>

#include <bit>
#include <new>
#include <utility>

namespace halfstep {
namespace {

std::byte* Allocate(size_t capacity) {
  return static_cast<std::byte*>(
      ::operator new (capacity, std::align_val_t{BufferPool::kAlignment}));
}

void Free(std::byte* data) {
  ::operator delete (data, std::align_val_t{BufferPool::kAlignment});
}

// `size` rounded up to a multiple of an eighth of its power of two, so that
// tensors of nearly one size share buffers and at most an eighth is wasted.
size_t CapacityFor(size_t size) {
  const size_t step = std::bit_floor(size) / 8;  // a power of two, too
  return (size + step - 1) & ~(step - 1);
}

}  // namespace

Buffer::Buffer(Buffer&& other) noexcept
    : slice_(std::exchange(other.slice_, grpc::Slice())),
      pool_(std::move(other.pool_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      capacity_(std::exchange(other.capacity_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(slice_, other.slice_);
  std::swap(pool_, other.pool_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(capacity_, other.capacity_);
  return *this;
}

Buffer::~Buffer() {
  if (pool_ != nullptr) pool_->GiveBack(data_, capacity_);
}

std::shared_ptr<BufferPool> BufferPool::Create(size_t idle_bytes_max) {
  return std::shared_ptr<BufferPool>(new BufferPool(idle_bytes_max));
}

BufferPool::~BufferPool() {
  for (const Idle& idle : idle_) Free(idle.data);
}

Buffer BufferPool::Take(size_t size) {
  Buffer buffer;
  if (size == 0) return buffer;
  buffer.size_ = size;
  if (size < kKeptBytesMin) {
    // Not one that lies within the Slice object, which moves.
    buffer.slice_ =
        grpc::Slice(grpc_slice_malloc_large(size), grpc::Slice::STEAL_REF);
    buffer.data_ = const_cast<std::byte*>(
        reinterpret_cast<const std::byte*>(buffer.slice_.begin()));
    return buffer;
  }
  buffer.capacity_ = CapacityFor(size);
  {
    absl::MutexLock lock(&mutex_);
    // The youngest first: its pages are the likeliest to be in a cache.
    for (size_t i = idle_.size(); i-- > 0;) {
      if (idle_[i].capacity != buffer.capacity_) continue;
      buffer.data_ = idle_[i].data;
      idle_bytes_ -= idle_[i].capacity;
      idle_.erase(idle_.begin() + static_cast<std::ptrdiff_t>(i));
      break;
    }
  }
  if (buffer.data_ == nullptr) buffer.data_ = Allocate(buffer.capacity_);
  buffer.pool_ = shared_from_this();
  return buffer;
}

void BufferPool::GiveBack(std::byte* data, size_t capacity) {
  if (capacity > idle_bytes_max_) return Free(data);
  std::vector<std::byte*> unwanted;
  {
    absl::MutexLock lock(&mutex_);
    idle_.push_back({data, capacity, absl::Now()});
    idle_bytes_ += capacity;
    size_t count = 0;
    for (; idle_bytes_ > idle_bytes_max_; ++count) {
      idle_bytes_ -= idle_[count].capacity;
      unwanted.push_back(idle_[count].data);
    }
    idle_.erase(idle_.begin(),
                idle_.begin() + static_cast<std::ptrdiff_t>(count));
  }
  for (std::byte* buffer : unwanted) Free(buffer);
}

void BufferPool::ReleaseIdleSince(absl::Time time) {
  std::vector<std::byte*> unwanted;
  {
    absl::MutexLock lock(&mutex_);
    size_t count = 0;
    for (; count < idle_.size() && idle_[count].since <= time; ++count) {
      idle_bytes_ -= idle_[count].capacity;
      unwanted.push_back(idle_[count].data);
    }
    idle_.erase(idle_.begin(),
                idle_.begin() + static_cast<std::ptrdiff_t>(count));
  }
  for (std::byte* buffer : unwanted) Free(buffer);
}

size_t BufferPool::idle_bytes() const {
  absl::MutexLock lock(&mutex_);
  return idle_bytes_;
}

}  // namespace halfstep

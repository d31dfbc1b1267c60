// The part of a long run of bytes that is still needed: what was kept, and the
// piece that has just come.
#ifndef HALFSTEP_CORE_HELD_BYTES_H_
#define HALFSTEP_CORE_HELD_BYTES_H_

#include <cstddef>
#include <deque>
#include <memory>
#include <vector>

#include "core/tensor.h"

namespace halfstep {

// Used by one thread at a time.
class HeldBytes {
 public:
  // Adds the bytes that follow those added so far. They are referred to, not
  // copied, until Keep: the caller keeps them in memory until then.
  void Add(const Pieces& bytes);

  // Copies those of the added bytes that have not been dropped: from now on the
  // caller's memory is not needed.
  void Keep();

  // Bytes before `offset`, counted from the first ever added, are not needed
  // any more.
  void DropBefore(size_t offset);

  // What is held, with the offsets of the whole. Valid until the next change.
  Pieces View() const;

  // The offset of the end: how many bytes were ever added.
  size_t end() const { return kept_end_ + added_.size(); }

  // Bytes of memory that Keep has taken.
  size_t kept_bytes() const { return chunks_.size() * kChunkBytes; }

 private:
  static constexpr size_t kChunkBytes = size_t{256} << 10;
  struct Chunk {
    std::unique_ptr<std::byte[]> bytes;
    size_t begin;  // offset of its first byte
    size_t size;
  };

  std::deque<Chunk> chunks_;
  std::vector<Chunk> spare_;  // one at most: the next Keep takes it
  size_t kept_end_ = 0;
  Pieces added_;
  size_t begin_ = 0;  // nothing before is needed
};

}  // namespace halfstep

#endif  // HALFSTEP_CORE_HELD_BYTES_H_

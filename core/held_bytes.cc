#include "core/held_bytes.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace halfstep {

void HeldBytes::Add(const Pieces& bytes) { added_ = bytes; }

void HeldBytes::Keep() {
  const size_t end = this->end();
  size_t offset = std::max(begin_, kept_end_);
  while (offset < end) {
    if (chunks_.empty() || chunks_.back().size == kChunkBytes ||
        chunks_.back().begin + chunks_.back().size != offset) {
      if (spare_.empty()) {
        // Not value-initialized: all of it is about to be written.
        spare_.push_back(
            {std::unique_ptr<std::byte[]>(new std::byte[kChunkBytes]), 0, 0});
      }
      chunks_.push_back(std::move(spare_.back()));
      spare_.pop_back();
      chunks_.back().begin = offset;
      chunks_.back().size = 0;
    }
    Chunk& chunk = chunks_.back();
    const size_t within = offset - kept_end_;
    const size_t count = std::min({end - offset, kChunkBytes - chunk.size,
                                   added_.ContiguousCount(within)});
    std::memcpy(chunk.bytes.get() + chunk.size,
                added_.Contiguous(within, count, nullptr), count);
    chunk.size += count;
    offset += count;
  }
  kept_end_ = end;
  const Pieces none;
  added_ = none;
}

void HeldBytes::DropBefore(size_t offset) {
  begin_ = offset;
  while (!chunks_.empty() &&
         chunks_.front().begin + chunks_.front().size <= offset) {
    if (spare_.empty()) spare_.push_back(std::move(chunks_.front()));
    chunks_.pop_front();
  }
}

Pieces HeldBytes::View() const {
  // The first chunk may begin before begin_, which does no harm.
  const size_t from = chunks_.empty() ? kept_end_ : chunks_.front().begin;
  Pieces view = Pieces::From(from);
  for (const Chunk& chunk : chunks_) {
    view.Append({chunk.bytes.get(), chunk.size});
  }
  for (size_t within = 0; within < added_.size();) {
    const size_t count = added_.ContiguousCount(within);
    view.Append({added_.Contiguous(within, count, nullptr), count});
    within += count;
  }
  return view;
}

}  // namespace halfstep

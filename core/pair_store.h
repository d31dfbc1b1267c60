// Pairs of scale and zero point that come one after the other and are needed
// for a while.
#ifndef HALFSTEP_CORE_PAIR_STORE_H_
#define HALFSTEP_CORE_PAIR_STORE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "core/pair_table.h"
#include "core/slice_layout.h"

namespace halfstep {

// T is the arithmetic's type. Used by one thread at a time.
template <typename T>
class PairStore {
 public:
  explicit PairStore(const SliceLayout& layout) : layout_(layout) {}

  // Adds pairs that follow those added so far. `zero_point` is empty if
  // symmetric. Scales are numbers of T.
  template <typename Scale>
  void Append(absl::Span<const Scale> scale,
              absl::Span<const int32_t> zero_point) {
    scale_.insert(scale_.end(), scale.begin(), scale.end());
    zero_point_.insert(zero_point_.end(), zero_point.begin(), zero_point.end());
    far_zero_points_ |= AnyFar(zero_point);
  }

  // How many were ever added.
  size_t added() const { return base_ + scale_.size(); }
  // How many are held.
  size_t held() const { return scale_.size() - dropped_; }

  // The slots of what is held. Where slots are not pairs, all pairs must have
  // been added. Valid until the next change.
  SlotPairs<T> Slots() {
    if (!layout_.slots_are_pairs()) {
      if (!table_.has_value()) table_.emplace(scale_, zero_point_, layout_);
      return {table_->pairs(), 0};
    }
    return {{scale_.data() + dropped_,
             zero_point_.empty() ? nullptr : zero_point_.data() + dropped_,
             far_zero_points_},
            base_ + dropped_};
  }

  // Pairs before `pair` are not needed any more. Only where slots are pairs and
  // come in order (SliceLayout::contiguous).
  void DropBefore(size_t pair) {
    dropped_ = pair - base_;
    // Moved now and then only, so that each pair is moved once on average.
    if (dropped_ < 1024 || dropped_ * 2 < scale_.size()) return;
    const auto count = static_cast<ptrdiff_t>(dropped_);
    scale_.erase(scale_.begin(), scale_.begin() + count);
    if (!zero_point_.empty()) {
      zero_point_.erase(zero_point_.begin(), zero_point_.begin() + count);
    }
    base_ += dropped_;
    dropped_ = 0;
  }

 private:
  const SliceLayout& layout_;
  std::vector<T> scale_;
  std::vector<int32_t> zero_point_;
  bool far_zero_points_ = false;  // of any that was ever added
  size_t base_ = 0;               // the pair of the first entry
  size_t dropped_ = 0;            // entries at the front that are not needed
  std::optional<PairTable<T>> table_;
};

}  // namespace halfstep

#endif  // HALFSTEP_CORE_PAIR_STORE_H_

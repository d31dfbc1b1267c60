#include "core/slice_layout.h"

#include <algorithm>

namespace halfstep {
namespace {

using kernels::Run;

// Runs shorter than this are spread out: a vector holds up to 16 elements, and
// each run has some overhead.
constexpr size_t kShortRun = 64;
// Spread-out slots: at least so many, so that rows of a few elements become
// long runs, and never more than a piece of the cache.
constexpr size_t kTiledSlotsMin = 1024;
constexpr size_t kTiledSlotsMax = 65536;

size_t Product(absl::Span<const int64_t> dimensions) {
  size_t product = 1;
  for (const int64_t dimension : dimensions) {
    product *= static_cast<size_t>(dimension);
  }
  return product;
}

}  // namespace

uint64_t PairCount(const Granularity& granularity,
                   absl::Span<const int64_t> shape) {
  if (granularity.kind == Granularity::Kind::kTensor) return 1;
  const auto axis = static_cast<size_t>(granularity.axis);
  const auto length = static_cast<uint64_t>(shape[axis]);
  if (granularity.kind == Granularity::Kind::kAxis) return length;
  const auto size = static_cast<uint64_t>(granularity.group_size);
  const uint64_t groups = length / size + (length % size != 0 ? 1 : 0);
  // A zero among the other dimensions must not hide an overflow of the rest,
  // and cannot: the product without zeros is below 2^63.
  return Product(shape.subspan(0, axis)) * groups *
         Product(shape.subspan(axis + 1));
}

SliceLayout::SliceLayout(const Granularity& granularity,
                         absl::Span<const int64_t> shape) {
  if (granularity.kind == Granularity::Kind::kTensor) {
    run_length_ = Product(shape);
    return;
  }
  const auto axis = static_cast<size_t>(granularity.axis);
  const size_t outer = Product(shape.subspan(0, axis));
  const auto length = static_cast<size_t>(shape[axis]);
  const size_t inner = Product(shape.subspan(axis + 1));
  if (granularity.kind == Granularity::Kind::kAxis) {
    SetAxis(outer, length, inner);
    return;
  }
  // No group is longer than the axis, which keeps what follows from overflow.
  group_size_ = static_cast<size_t>(std::clamp<int64_t>(
      granularity.group_size, 1, std::max<int64_t>(shape[axis], 1)));
  const size_t groups = (length + group_size_ - 1) / group_size_;
  slot_count_ = outer * groups * inner;
  axis_length_ = length;
  if (inner == 1) {
    kind_ = Kind::kRows;
    row_length_ = length;
    run_length_ = group_size_;
    runs_per_row_ = groups;
  } else {
    kind_ = Kind::kColumns;
    inner_ = inner;
    runs_per_row_ = groups;
  }
}

void SliceLayout::SetAxis(size_t outer, size_t axis_length, size_t inner) {
  slot_count_ = axis_length;
  axis_length_ = axis_length;
  if (outer == 1) {
    kind_ = Kind::kRows;
    row_length_ = run_length_ = inner;
    runs_per_row_ = 1;
  } else if (inner == 0 || inner >= kShortRun ||
             axis_length > kTiledSlotsMax / inner) {
    kind_ = Kind::kPeriodic;
    run_length_ = inner;
  } else {
    kind_ = Kind::kTiled;
    const size_t period = std::max<size_t>(axis_length * inner, 1);
    const size_t times = (kTiledSlotsMin + period - 1) / period;
    slot_count_ = times * axis_length * inner;
    repeat_ = inner;
  }
}

size_t SliceLayout::PairOfSlot(size_t slot) const {
  return slots_are_pairs() ? slot : slot / repeat_ % axis_length_;
}

void SliceLayout::AppendRuns(size_t first, size_t count, size_t base,
                             std::vector<Run>& runs) const {
  if (count == 0) return;
  switch (kind_) {
    case Kind::kTensor:
      runs.push_back({count, 0, 0});
      return;
    case Kind::kRows: {
      const bool even = row_length_ % run_length_ == 0;
      size_t in_row = first % row_length_;
      size_t slot =
          first / row_length_ * runs_per_row_ + in_row / run_length_ - base;
      while (count != 0) {
        size_t length = std::min(
            {run_length_ - in_row % run_length_, row_length_ - in_row, count});
        size_t times = 1;
        if (length == run_length_) {
          // Whole runs at once: to the end of the row, or over all rows where
          // none has a shorter run at its end.
          times = (even ? count : std::min(count, row_length_ - in_row)) /
                  run_length_;
        }
        runs.push_back({length, slot, 0, times});
        slot += times;
        count -= length * times;
        in_row = (in_row + length * times) % row_length_;
      }
      return;
    }
    case Kind::kPeriodic: {
      size_t in_run = first % run_length_;
      size_t slot = first / run_length_ % slot_count_;
      while (count != 0) {
        const size_t length = std::min(run_length_ - in_run, count);
        runs.push_back({length, slot - base, 0});
        count -= length;
        in_run = 0;
        if (++slot == slot_count_) slot = 0;
      }
      return;
    }
    case Kind::kTiled: {
      size_t slot = first % slot_count_;
      while (count != 0) {
        const size_t length = std::min(slot_count_ - slot, count);
        runs.push_back({length, slot - base, 1});
        count -= length;
        slot = 0;
      }
      return;
    }
    case Kind::kColumns: {
      size_t in_row = first % inner_;
      size_t index = first / inner_ % axis_length_;
      size_t outer = first / inner_ / axis_length_;
      while (count != 0) {
        const size_t length = std::min(inner_ - in_row, count);
        const size_t slot =
            (outer * runs_per_row_ + index / group_size_) * inner_ + in_row;
        runs.push_back({length, slot - base, 1});
        count -= length;
        in_row = 0;
        if (++index == axis_length_) {
          index = 0;
          ++outer;
        }
      }
      return;
    }
  }
}

size_t SliceLayout::PairsBefore(size_t end) const {
  if (end == 0) return 0;
  switch (kind_) {
    case Kind::kTensor:
    case Kind::kRows:
      return SliceAt(end - 1).slot + 1;
    case Kind::kPeriodic:
      return std::min(slot_count_, (end - 1) / run_length_ + 1);
    case Kind::kTiled:
      return std::min(axis_length_, (end - 1) / repeat_ + 1);
    case Kind::kColumns: {
      const size_t row = (end - 1) / inner_;
      const size_t index = row % axis_length_;
      const size_t groups =
          row / axis_length_ * runs_per_row_ + index / group_size_;
      // A group's first row may have been reached in part only.
      const size_t reached =
          index % group_size_ == 0 ? (end - 1) % inner_ + 1 : inner_;
      return groups * inner_ + reached;
    }
  }
  return slot_count_;
}

SliceLayout::Slice SliceLayout::SliceAt(size_t element) const {
  if (kind_ == Kind::kTensor) return {0, 0, run_length_};
  const size_t row = element / row_length_;
  const size_t run = element % row_length_ / run_length_;
  const size_t begin = row * row_length_ + run * run_length_;
  const size_t row_end = (row + 1) * row_length_;
  return {row * runs_per_row_ + run, begin,
          std::min(begin + run_length_, row_end)};
}

size_t SliceLayout::BeginOfSlot(size_t slot) const {
  if (kind_ == Kind::kTensor) return 0;
  return slot / runs_per_row_ * row_length_ +
         slot % runs_per_row_ * run_length_;
}

}  // namespace halfstep

// Where in a tensor the parameters change.
//
// Kernels look pairs up by slot. Slots are the pairs in their order, but for
// short runs along an axis, which are spread out so that whole vectors can be
// loaded: there several slots hold the same pair.
#ifndef HALFSTEP_CORE_SLICE_LAYOUT_H_
#define HALFSTEP_CORE_SLICE_LAYOUT_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "core/kernels/run.h"
#include "core/spec.h"

namespace halfstep {

// How many pairs a tensor of `shape` has; `granularity` is resolved. Takes
// shapes that ElementCount accepts, and so cannot overflow.
uint64_t PairCount(const Granularity& granularity,
                   absl::Span<const int64_t> shape);

class SliceLayout {
 public:
  SliceLayout(const Granularity& granularity, absl::Span<const int64_t> shape);

  size_t slot_count() const { return slot_count_; }
  // Whether a slot is a pair.
  bool slots_are_pairs() const { return repeat_ == 0; }
  size_t PairOfSlot(size_t slot) const;

  // Appends the runs of the `count` elements from `first` on, with slots
  // counted from `base`.
  void AppendRuns(size_t first, size_t count, size_t base,
                  std::vector<kernels::Run>& runs) const;

  // Whether each slice is contiguous and has its own slots in order, so that
  // its parameters are known when its last element is.
  bool contiguous() const {
    return kind_ == Kind::kTensor || kind_ == Kind::kRows;
  }
  // How many pairs, from the first one on, the elements before `end` need.
  size_t PairsBefore(size_t end) const;

  // The largest number of elements of a contiguous slice; where slices are not,
  // how many of one stand together at most, or 0.
  size_t slice_elements_max() const { return run_length_; }

  // Whether slices are cut along rows, all of that length, and the tensor is
  // nothing but them.
  bool slices_are_equal() const {
    return kind_ == Kind::kRows && run_length_ != 0 &&
           row_length_ % run_length_ == 0;
  }

  // A contiguous slice: its elements are [begin, end).
  struct Slice {
    size_t slot;
    size_t begin;
    size_t end;
  };
  // The contiguous slice that holds `element`.
  Slice SliceAt(size_t element) const;
  // The first element of the contiguous slice with slot `slot`.
  size_t BeginOfSlot(size_t slot) const;

 private:
  enum class Kind : uint8_t {
    kTensor,  // one slot
    kRows,    // rows of row_length_, cut into runs of run_length_: a slot each
    kPeriodic,  // runs of run_length_, slot_count_ slots over and over
    kTiled,     // an own slot for each of slot_count_ elements, over and over
    kColumns,   // groups along an axis that is not the last: inner_ slots each
  };

  void SetAxis(size_t outer, size_t axis_length, size_t inner);

  Kind kind_ = Kind::kTensor;
  size_t slot_count_ = 1;
  size_t row_length_ = 0;
  size_t run_length_ = 0;
  size_t runs_per_row_ = 0;
  // kTiled: elements of one pair, and pairs, in one period.
  size_t repeat_ = 0;
  size_t axis_length_ = 0;
  // kColumns
  size_t inner_ = 0;
  size_t group_size_ = 0;
};

}  // namespace halfstep

#endif  // HALFSTEP_CORE_SLICE_LAYOUT_H_

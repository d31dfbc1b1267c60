// Dynamic quantization's first pass: the range of each slice, and parameters
// from it.
#ifndef HALFSTEP_CORE_RANGE_PASS_H_
#define HALFSTEP_CORE_RANGE_PASS_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "absl/status/statusor.h"
#include "core/executor.h"
#include "core/quantize.h"
#include "core/slice_layout.h"
#include "core/strips.h"

namespace halfstep {

// One range per slot; low > high where no finite real was seen.
template <typename T>
struct Ranges {
  std::vector<T> low;
  std::vector<T> high;

  // `count` empty ranges. Keeps its memory.
  void Reset(size_t count) {
    low.assign(count, std::numeric_limits<T>::infinity());
    high.assign(count, -std::numeric_limits<T>::infinity());
  }
};

// One scale and, unless symmetric, zero point per pair.
template <typename T>
struct ChosenPairs {
  std::vector<T> scale;
  std::vector<int32_t> zero_point;

  void Reset(size_t count, bool symmetric) {
    scale.resize(count);
    zero_point.resize(symmetric ? 0 : count);
  }
};

// Widens `ranges`, whose first slot is `base`, to the finite reals among the
// elements [first, end). Uses scratch.gathered, widened and runs.
template <typename T>
void WidenToReals(DataType dtype, const SliceLayout& layout,
                  const Pieces& reals, size_t first, size_t end, size_t base,
                  Scratch& scratch, Ranges<T>& ranges);

// Chooses the parameters of all slices of a tensor.
// CANCELLED or DEADLINE_EXCEEDED as `execution` says.
template <typename T>
absl::StatusOr<ChosenPairs<T>> ChooseFromReals(const QuantizePlan& plan,
                                               const SliceLayout& layout,
                                               const Pieces& reals,
                                               const Execution& execution);

// Chooses the parameters of the contiguous slices [first_slot, end_slot), all
// elements of which are in `reals`. Errors as above.
template <typename T>
absl::StatusOr<ChosenPairs<T>> ChooseSlices(const QuantizePlan& plan,
                                            const SliceLayout& layout,
                                            const Pieces& reals,
                                            size_t first_slot, size_t end_slot,
                                            const Execution& execution);

}  // namespace halfstep

#endif  // HALFSTEP_CORE_RANGE_PASS_H_

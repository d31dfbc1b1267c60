// Scales and zero points in the arithmetic's type, as kernels look them up.
#ifndef HALFSTEP_CORE_PAIR_TABLE_H_
#define HALFSTEP_CORE_PAIR_TABLE_H_

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "core/kernels/range.h"
#include "core/kernels/run.h"
#include "core/parameters.h"
#include "core/slice_layout.h"

namespace halfstep {

// The kernels' form of a resolved spec with integer codes.
template <typename T>
kernels::RangeRule<T> RuleOf(const Spec& spec) {
  const CodeRange range = CodeRangeOf(spec);
  kernels::RangeRule<T> rule = {
      .quantize = {.order = kernels::Order::kDivide,
                   .quant_min = static_cast<T>(range.quant_min),
                   .quant_max = static_cast<T>(range.quant_max)},
      .symmetric = spec.scheme == Scheme::kSymmetric};
  if (spec.profile == Profile::kPytorch) {
    rule.quantize.order = kernels::Order::kMultiply;
  } else if (spec.profile == Profile::kNotebook) {
    rule.quantize.order = kernels::Order::kAddFirst;
  }
  if (spec.clamp.has_value()) {
    // Bounds are numbers of T already.
    if (spec.clamp->min.has_value()) {
      rule.quantize.clamp_min = static_cast<T>(*spec.clamp->min);
    }
    if (spec.clamp->max.has_value()) {
      rule.quantize.clamp_max = static_cast<T>(*spec.clamp->max);
    }
  }
  return rule;
}

// kernels::Pairs::far_zero_points of these.
inline bool AnyFar(absl::Span<const int32_t> zero_points) {
  return std::any_of(zero_points.begin(), zero_points.end(),
                     [](int32_t zero_point) {
                       return std::abs(int64_t{zero_point}) > int64_t{1} << 23;
                     });
}

// Pairs of consecutive slots, the first of which is `base`.
template <typename T>
struct SlotPairs {
  kernels::Pairs<T> pairs = {};
  size_t base = 0;
};

// One entry per slot of a layout.
template <typename T>
class PairTable {
 public:
  // Takes one entry per pair and spreads them out as `layout` needs.
  // `zero_point` is empty if symmetric.
  PairTable(std::vector<T> scale, std::vector<int32_t> zero_point,
            const SliceLayout& layout)
      : scale_(std::move(scale)),
        zero_point_(std::move(zero_point)),
        far_zero_points_(AnyFar(zero_point_)) {
    if (layout.slots_are_pairs()) return;
    scale_ = Spread(scale_, layout);
    if (!zero_point_.empty()) zero_point_ = Spread(zero_point_, layout);
  }

  kernels::Pairs<T> pairs() const {
    return {scale_.data(), zero_point_.empty() ? nullptr : zero_point_.data(),
            far_zero_points_};
  }

 private:
  template <typename V>
  static std::vector<V> Spread(const std::vector<V>& pairs,
                               const SliceLayout& layout) {
    std::vector<V> slots(layout.slot_count());
    for (size_t slot = 0; slot < slots.size(); ++slot) {
      slots[slot] = pairs[layout.PairOfSlot(slot)];
    }
    return slots;
  }

  std::vector<T> scale_;
  std::vector<int32_t> zero_point_;
  bool far_zero_points_;
};

// The table of parameters that were given.
template <typename T>
PairTable<T> TableOf(const Parameters& parameters, const SliceLayout& layout) {
  // Each is a number of T already.
  return PairTable<T>(
      std::vector<T>(parameters.scale.begin(), parameters.scale.end()),
      parameters.zero_point, layout);
}

}  // namespace halfstep

#endif  // HALFSTEP_CORE_PAIR_TABLE_H_

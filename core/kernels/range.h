// Parameters from a range (docs/numerics.md, section 2).
#ifndef HALFSTEP_CORE_KERNELS_RANGE_H_
#define HALFSTEP_CORE_KERNELS_RANGE_H_

#include <cstddef>
#include <cstdint>

#include "core/kernels/affine.h"

namespace halfstep::kernels {

// PyTorch's observers never go below float32's epsilon.
inline constexpr double kPytorchScaleMin = 0x1p-23;

template <typename T>
struct RangeRule {
  QuantizeRule<T> quantize;  // its order tells the profile
  bool symmetric;
};

// Chooses scale[i] and, unless symmetric, zero_point[i] for `count` slices
// whose finite reals lie in [low[i], high[i]]; low > high means that there are
// none. The clamp of the rule is applied to the range first. `zero_point` may
// be null if symmetric. Every scale is finite, positive and normal.
void ChooseParameters(const RangeRule<float>& rule, const float* low,
                      const float* high, size_t count, float* scale,
                      int32_t* zero_point);
void ChooseParameters(const RangeRule<double>& rule, const double* low,
                      const double* high, size_t count, double* scale,
                      int32_t* zero_point);

}  // namespace halfstep::kernels

#endif  // HALFSTEP_CORE_KERNELS_RANGE_H_

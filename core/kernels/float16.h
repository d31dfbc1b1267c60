// One real type to another: float64, float32, float16 and bfloat16.
//
// Widening is exact. Narrowing rounds once, to nearest even; a real past the
// largest finite number, infinities included, becomes that number, and NaN
// becomes 0. 16-bit reals are their bit patterns. Any alignment, but for
// `clamped`; nothing is allocated.
#ifndef HALFSTEP_CORE_KERNELS_FLOAT16_H_
#define HALFSTEP_CORE_KERNELS_FLOAT16_H_

#include <cstddef>
#include <cstdint>

#include "core/kernels/affine.h"

namespace halfstep::kernels {

void WidenFloat16(const uint16_t* from, size_t count, float* to);
void WidenBFloat16(const uint16_t* from, size_t count, float* to);
void WidenFloat32(const float* from, size_t count, double* to);

void NarrowToFloat16(const float* from, size_t count, uint16_t* to);
void NarrowToFloat16(const double* from, size_t count, uint16_t* to);
void NarrowToBFloat16(const float* from, size_t count, uint16_t* to);
void NarrowToBFloat16(const double* from, size_t count, uint16_t* to);
void NarrowToFloat32(const double* from, size_t count, float* to);

// For floating-point codes: what Quantize does before and beside the rounding.
// Writes `reals` clamped to [clamp_min, clamp_max] to `clamped`, adds to `cuts`
// (a real counts as saturated from magnitude `saturated_from` on, the first one
// that rounds past the largest finite code), and writes GradientMask's byte for
// each real to `mask` unless that is null.
struct FloatCodeRule {
  double clamp_min;
  double clamp_max;
  double saturated_from;
};
void ClampForFloatCodes(const float* reals, size_t count,
                        const FloatCodeRule& rule, float* clamped,
                        CutCounts* cuts, uint8_t* mask);
void ClampForFloatCodes(const double* reals, size_t count,
                        const FloatCodeRule& rule, double* clamped,
                        CutCounts* cuts, uint8_t* mask);

}  // namespace halfstep::kernels

#endif  // HALFSTEP_CORE_KERNELS_FLOAT16_H_

// The definition of every kernel's result, one element at a time.
//
// Plain C++ without intrinsics: what docs/numerics.md says, in code. The SIMD
// kernels equal these functions bit for bit, and fall back on them where speed
// does not matter.
#ifndef HALFSTEP_CORE_KERNELS_REFERENCE_H_
#define HALFSTEP_CORE_KERNELS_REFERENCE_H_

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "core/kernels/affine.h"

namespace halfstep::kernels::reference {

// Round half to even. The rounding mode is the default one throughout.
template <typename T>
T Round(T x) {
  return std::nearbyint(x);
}

// What became of one real.
struct Coded {
  int64_t code;
  bool clamped;
  bool non_finite;
  bool saturated;
};

template <typename T>
Coded Quantize(T real, T scale, int32_t zero_point,
               const QuantizeRule<T>& rule) {
  Coded coded = {};
  coded.clamped = real < rule.clamp_min || real > rule.clamp_max;
  if (real < rule.clamp_min) real = rule.clamp_min;
  if (real > rule.clamp_max) real = rule.clamp_max;
  coded.non_finite = !coded.clamped && !std::isfinite(real);

  const T z = static_cast<T>(zero_point);
  T steps =
      rule.order == Order::kMultiply ? real * (T{1} / scale) : real / scale;
  if (std::isnan(real)) steps = 0;
  const T exact =
      rule.order == Order::kAddFirst ? Round(steps + z) : Round(steps) + z;
  // Compared with the ends before the conversion: it may be past any integer.
  const T saturated = std::clamp(exact, rule.quant_min, rule.quant_max);
  coded.saturated = !coded.clamped && !coded.non_finite && saturated != exact;
  coded.code = static_cast<int64_t>(saturated);
  return coded;
}

template <typename T>
T Dequantize(int64_t code, T scale, int32_t zero_point) {
  constexpr T kLargest = std::numeric_limits<T>::max();
  const T steps = static_cast<T>(code - zero_point);
  return std::clamp(steps * scale, -kLargest, kLargest);
}

// --- Casts. One rounding to nearest even; a real past the largest finite
// number, infinities included, becomes that number, and NaN becomes 0.

inline float Float16ToFloat32(uint16_t bits) {
  const uint32_t magnitude = bits & 0x7FFFu;
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  // Infinity and NaN keep an exponent of all ones; everything else, subnormals
  // included, is 2^112 times the float32 with the same fields.
  if (magnitude >= 0x7C00u) {
    return std::bit_cast<float>(sign | 0x7F800000u | (magnitude << 13));
  }
  const float scaled = std::bit_cast<float>(magnitude << 13) * 0x1p112f;
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(scaled));
}

inline float BFloat16ToFloat32(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

inline uint16_t Float32ToFloat16(float real) {
  if (std::isnan(real)) return 0;
  const uint32_t bits = std::bit_cast<uint32_t>(real);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  uint32_t rounded;
  if (magnitude < 0x38800000u) {  // below 2^-14: a subnormal result
    // Adding 1/2, whose last bit is 2^-24, rounds to a whole number of the
    // smallest float16.
    rounded = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) -
              std::bit_cast<uint32_t>(0.5f);
  } else {
    const uint32_t odd = (magnitude >> 13) & 1u;
    rounded = ((magnitude + 0xFFFu + odd) >> 13) - (112u << 10);
  }
  return static_cast<uint16_t>(sign | std::min(rounded, 0x7BFFu));
}

inline uint16_t Float32ToBFloat16(float real) {
  if (std::isnan(real)) return 0;
  const uint32_t bits = std::bit_cast<uint32_t>(real);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  const uint32_t odd = (magnitude >> 16) & 1u;
  const uint32_t rounded = (magnitude + 0x7FFFu + odd) >> 16;
  return static_cast<uint16_t>(sign | std::min(rounded, 0x7F7Fu));
}

// float64 to float32, rounded to odd: a later rounding to fewer bits is then
// the only one. NaN and infinities pass.
inline float RoundToOdd(double real) {
  const float nearest = static_cast<float>(real);
  if (!(std::fabs(real) <= std::numeric_limits<double>::max())) return nearest;
  if (static_cast<double>(nearest) == real) return nearest;
  uint32_t bits = std::bit_cast<uint32_t>(nearest);
  // Back to the neighbour toward zero, then make the last bit odd.
  if (std::fabs(static_cast<double>(nearest)) > std::fabs(real)) --bits;
  return std::bit_cast<float>(bits | 1u);
}

inline uint16_t Float64ToFloat16(double real) {
  return Float32ToFloat16(RoundToOdd(real));
}

inline uint16_t Float64ToBFloat16(double real) {
  return Float32ToBFloat16(RoundToOdd(real));
}

inline float Float64ToFloat32(double real) {
  constexpr float kLargest = std::numeric_limits<float>::max();
  if (std::isnan(real)) return 0;
  return std::clamp(static_cast<float>(real), -kLargest, kLargest);
}

}  // namespace halfstep::kernels::reference

#endif  // HALFSTEP_CORE_KERNELS_REFERENCE_H_

// Reals to codes and back.
//
//   code = saturate(round_half_even(real / scale) + zero_point)    kDivide
//   code = saturate(round_half_even(real * (1 / scale)) + zero_point) kMultiply
//   code = saturate(round_half_even(real / scale + zero_point))    kAddFirst
//   real = scale * (code - zero_point)
//
// Reals and codes may have any alignment. Nothing is allocated; no function
// fails. Every target equals kernels/reference.h bit for bit.
#ifndef HALFSTEP_CORE_KERNELS_AFFINE_H_
#define HALFSTEP_CORE_KERNELS_AFFINE_H_

#include <cstddef>
#include <cstdint>
#include <limits>

#include "core/kernels/run.h"

namespace halfstep::kernels {

// When the zero point is added, and how the scale is taken out.
enum class Order : uint8_t { kDivide, kMultiply, kAddFirst };

template <typename T>
struct QuantizeRule {
  Order order;
  // The smallest and largest code. They and the zero points are at most 2^17 in
  // magnitude if T is float, 2^32 if T is double; only under kAddFirst may a
  // zero point be any int32.
  T quant_min;
  T quant_max;
  // Reals are clamped to these first; infinite where there is no bound.
  T clamp_min = -std::numeric_limits<T>::infinity();
  T clamp_max = std::numeric_limits<T>::infinity();

  bool clamps() const {
    return clamp_min > -std::numeric_limits<T>::infinity() ||
           clamp_max < std::numeric_limits<T>::infinity();
  }
};

// Elements, each counted once: clamped, else non-finite, else saturated.
struct CutCounts {
  uint64_t clamped = 0;
  uint64_t non_finite = 0;
  uint64_t saturated = 0;
};

// Writes the codes of `reals` as `kind` and adds to `cuts`. Infinities become
// the ends of the code range, NaN the code of 0. T = float takes no 32-bit
// kind.
void Quantize(const float* reals, Runs runs, Pairs<float> pairs,
              const QuantizeRule<float>& rule, CodeKind kind, void* codes,
              CutCounts* cuts);
void Quantize(const double* reals, Runs runs, Pairs<double> pairs,
              const QuantizeRule<double>& rule, CodeKind kind, void* codes,
              CutCounts* cuts);

// Reals that are looked at while others are quantized: as many runs, and of the
// same length. low[k] and high[k] are widened to the finite reals of the k-th,
// whatever Run::pair is.
template <typename T>
struct RangesToWiden {
  const T* reals = nullptr;
  T* low = nullptr;
  T* high = nullptr;
};

// Quantize for one run, whose step is 0, and WidenRanges for `next`. The result
// is the same as one after the other; they are one loop for float32 where codes
// take a byte, nothing is clamped, the order is not kAddFirst and the run is
// some whole vectors.
void QuantizeAndWiden(const float* reals, const Run& run, Pairs<float> pairs,
                      const QuantizeRule<float>& rule, CodeKind kind,
                      void* codes, CutCounts* cuts,
                      const RangesToWiden<float>& next);
void QuantizeAndWiden(const double* reals, const Run& run, Pairs<double> pairs,
                      const QuantizeRule<double>& rule, CodeKind kind,
                      void* codes, CutCounts* cuts,
                      const RangesToWiden<double>& next);

// Writes one byte per real: 1 where it is finite and neither clamped nor
// saturated, else 0.
void GradientMask(const float* reals, Runs runs, Pairs<float> pairs,
                  const QuantizeRule<float>& rule, uint8_t* mask);
void GradientMask(const double* reals, Runs runs, Pairs<double> pairs,
                  const QuantizeRule<double>& rule, uint8_t* mask);

// Writes the reconstruction of `codes`. A product past the largest finite
// number of T becomes it. T = float takes no 32-bit kind.
void Dequantize(const void* codes, CodeKind kind, Runs runs, Pairs<float> pairs,
                float* reals);
void Dequantize(const void* codes, CodeKind kind, Runs runs,
                Pairs<double> pairs, double* reals);

}  // namespace halfstep::kernels

#endif  // HALFSTEP_CORE_KERNELS_AFFINE_H_

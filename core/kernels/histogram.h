// Reals counted by the upper 16 bits of their float32 form (docs/numerics.md,
// section 8): sign, exponent and 7 mantissa bits.
//
// Reals may have any alignment. Nothing is allocated; no function fails.
#ifndef HALFSTEP_CORE_KERNELS_HISTOGRAM_H_
#define HALFSTEP_CORE_KERNELS_HISTOGRAM_H_

#include <cstddef>
#include <cstdint>

namespace halfstep::kernels {

inline constexpr size_t kUpperHalves = 65536;

// Counters per upper half. Neighbouring reals are often in one bucket, and an
// increment that has to wait for the one before takes some 5 cycles: they take
// turns between so many counters, which belong together.
inline constexpr size_t kHistogramLanes = 4;

// Adds 1 to counts[half * kHistogramLanes + lane] for each real, with any lane.
// `counts` has kUpperHalves * kHistogramLanes entries, none of which may
// overflow.
void CountUpperHalves(const float* reals, size_t count, uint32_t* counts);

// Writes each real rounded toward zero; past the largest finite float32 that
// number. NaN and infinities pass.
void RoundTowardZero(const double* reals, size_t count, float* rounded);

}  // namespace halfstep::kernels

#endif  // HALFSTEP_CORE_KERNELS_HISTOGRAM_H_

// What calibration keeps of the reals that it has seen: exact extremes and a
// histogram whose buckets are the bfloat16 numbers, so that summaries of parts
// add up exactly to the summary of the whole (docs/numerics.md, section 8).
//
//   key = upper 16 bits of the float32 form without the sign, negated for
//         negative reals; both zeros have key 0
#ifndef HALFSTEP_CORE_CALIBRATION_H_
#define HALFSTEP_CORE_CALIBRATION_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"

namespace halfstep {

// The version of CalibrationState that this library reads and writes.
inline constexpr uint32_t kCalibrationFormatVersion = 1;

// The key of the largest finite float32.
inline constexpr int32_t kBucketKeyMax = 0x7F7F;

// The most reals that a summary counts, finite or not.
inline constexpr uint64_t kCalibrationCountMax = (uint64_t{1} << 63) - 1;

// Reals whose float32 form has the same upper half.
struct CalibrationBucket {
  int32_t key;
  uint64_t count;  // 1 or more

  bool operator==(const CalibrationBucket&) const = default;
};

// The reals of one tensor, or of one index along an axis.
struct CalibrationSummary {
  uint64_t count = 0;  // finite reals
  // Of the finite reals; 0 while there are none. Never -0.0.
  double min = 0;
  double max = 0;
  uint64_t non_finite_count = 0;
  // In ascending order of their keys.
  std::vector<CalibrationBucket> buckets;

  bool operator==(const CalibrationSummary&) const = default;
};

// Equal data makes equal states, however it was cut and in whatever order it
// came.
struct CalibrationState {
  // The axis, counted from the first, with one summary per index; none: one
  // summary in all.
  std::optional<int32_t> axis;
  std::vector<CalibrationSummary> summaries;

  bool operator==(const CalibrationState&) const = default;
};

// A state of no data, for whole tensors.
CalibrationState EmptyCalibrationState();

// The key of a finite real.
int32_t BucketKey(double real);

// The end of a bucket that is nearer to zero; the other end is that of the next
// key. 0 for key 0, whose reals lie within +-2^-133.
double BucketStart(int32_t key);

// Checks a state that came from outside.
//
// INVALID_ARGUMENT, naming the field as the API does ("summaries[2].count"), if
// no data can have made it: keys out of order, counts of 0 or that do not add
// up, extremes that are not finite, or not in the first and last bucket.
absl::Status Validate(const CalibrationState& state);

// Adds `from` to `into`. Both are valid.
absl::Status AddSummary(const CalibrationSummary& from,
                        CalibrationSummary& into);

// The same for states. INVALID_ARGUMENT, naming the field of `from`, if the
// axes or the numbers of summaries differ, or if a count would pass
// kCalibrationCountMax; `into` is then unspecified.
absl::Status AddState(const CalibrationState& from, CalibrationState& into);

}  // namespace halfstep

#endif  // HALFSTEP_CORE_CALIBRATION_H_

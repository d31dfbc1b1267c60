// From a calibration state, or ranges known otherwise, to parameters for static
// quantization.
#ifndef HALFSTEP_CORE_CALIBRATION_PARAMETERS_H_
#define HALFSTEP_CORE_CALIBRATION_PARAMETERS_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "core/calibration.h"
#include "core/error_report.h"
#include "core/executor.h"
#include "core/parameters.h"
#include "core/spec.h"

namespace halfstep {

enum class CalibrationMethod : uint8_t { kMinMax, kPercentile, kMse, kEntropy };

inline constexpr double kDefaultQuantile = 0.9999;

// What to compute.
struct CalibrationQuestion {
  // Granularity: the state's axis, or none: then its summaries are added up.
  Spec spec;
  CalibrationMethod method = CalibrationMethod::kMinMax;
  double quantile = 0;  // for kPercentile, in (0, 1]; 0 means kDefaultQuantile
  DataType dtype = DataType::kFloat32;  // what will be quantized
};

struct CalibratedParameters {
  Parameters parameters;
  // What they are expected to lose on data like that observed: sums over the
  // model of core/calibration_density.h. No index; encoded_bytes for as many
  // elements as were observed.
  ErrorReport expected_error;
};

// `state` is valid. kMinMax gives exactly the parameters of dynamic
// quantization of the same data.
//
// INVALID_ARGUMENT naming the field as the API does: "state.summaries" if no
// finite real was observed, "spec...." if the spec is refused or does not fit
// the state, "method" if kEntropy does not apply (symmetric, 2 to 8 bits),
// "quantile". CANCELLED or DEADLINE_EXCEEDED as `execution` says.
// Deterministic.
absl::StatusOr<CalibratedParameters> ComputeParameters(
    const CalibrationState& state, const CalibrationQuestion& question,
    const Execution& execution);

// Ranges in the order of the pairs, of any granularity; an axis counts from the
// first. kMinMax only.
//
// INVALID_ARGUMENT ("ranges.min[2]") if a range is not finite in the
// arithmetic's type or empty; or as above.
absl::StatusOr<Parameters> ComputeParameters(
    const std::vector<double>& min, const std::vector<double>& max,
    const CalibrationQuestion& question);

}  // namespace halfstep

#endif  // HALFSTEP_CORE_CALIBRATION_PARAMETERS_H_

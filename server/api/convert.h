// The API's messages as core's types, and back: everything but tensors.
//
// Paths in errors are relative to the message given: "bits" for a spec. Enum
// values that the API does not know are refused; "unspecified" passes, since
// core knows the defaults.
#ifndef HALFSTEP_SERVER_API_CONVERT_H_
#define HALFSTEP_SERVER_API_CONVERT_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "core/calibration_parameters.h"
#include "core/data_type.h"
#include "core/error_report.h"
#include "core/parameters.h"
#include "core/quantize.h"
#include "core/spec.h"
#include "halfstep/v1/quantization.pb.h"

namespace halfstep {

// INVALID_ARGUMENT ("dtype") if unspecified or unknown.
absl::StatusOr<DataType> FromProto(v1::DataType dtype);
v1::DataType ToProto(DataType dtype);

// INVALID_ARGUMENT if an enum value is unknown.
absl::StatusOr<Spec> FromProto(const v1::QuantizationSpec& spec);
void ToProto(const Spec& spec, v1::QuantizationSpec& out);

// kMinMax if unspecified; INVALID_ARGUMENT ("method") if unknown.
absl::StatusOr<CalibrationMethod> FromProto(v1::CalibrationMethod method);

// RESOURCE_EXHAUSTED ("scale" or "zero_point") if there are more than
// `pairs_max`, before any is copied.
absl::StatusOr<Parameters> FromProto(
    const v1::QuantizationParameters& parameters, uint64_t pairs_max);
void ToProto(const Parameters& parameters, v1::QuantizationParameters& out);

void ToProto(const ErrorReport& report, v1::ErrorReport& out);
void ToProto(const Cuts& cuts, v1::Cuts& out);

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_API_CONVERT_H_

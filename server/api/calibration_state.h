// Calibration states as messages, and back.
#ifndef HALFSTEP_SERVER_API_CALIBRATION_STATE_H_
#define HALFSTEP_SERVER_API_CALIBRATION_STATE_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "core/calibration.h"
#include "halfstep/v1/quantization.pb.h"

namespace halfstep {

// Checks `state` and converts it. INVALID_ARGUMENT, naming the field relative
// to it, if it has another version or no data can have made it;
// RESOURCE_EXHAUSTED ("summaries") if it has more than `summaries_max`.
absl::StatusOr<CalibrationState> FromProto(const v1::CalibrationState& state,
                                           uint64_t summaries_max);

void ToProto(const CalibrationState& state, v1::CalibrationState& out);

// Bytes of memory that `state` takes.
uint64_t BytesOf(const CalibrationState& state);

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_API_CALIBRATION_STATE_H_

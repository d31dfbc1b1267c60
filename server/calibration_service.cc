#include "server/calibration_service.h"

namespace halfstep {

CalibrationService::CalibrationService(const CallEnvironment& environment)
    : ByteService("halfstep.v1.CalibrationService", environment) {
  Refuse("Observe");
  Refuse("Merge");
  Refuse("ComputeParameters");
}

}  // namespace halfstep

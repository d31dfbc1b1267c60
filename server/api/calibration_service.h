// Chooses parameters from data seen before quantization.
#ifndef HALFSTEP_SERVER_API_CALIBRATION_SERVICE_H_
#define HALFSTEP_SERVER_API_CALIBRATION_SERVICE_H_

#include "server/call/byte_service.h"

namespace halfstep {

class CalibrationService final : public ByteService {
 public:
  // `environment` outlives the service.
  explicit CalibrationService(const CallEnvironment& environment);
};

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_API_CALIBRATION_SERVICE_H_

// Quantizes, dequantizes and measures one tensor per call.
#ifndef HALFSTEP_SERVER_API_QUANTIZATION_SERVICE_H_
#define HALFSTEP_SERVER_API_QUANTIZATION_SERVICE_H_

#include "server/call/byte_service.h"

namespace halfstep {

class QuantizationService final : public ByteService {
 public:
  // `environment` outlives the service.
  explicit QuantizationService(const CallEnvironment& environment);
};

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_API_QUANTIZATION_SERVICE_H_

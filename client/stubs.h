// What a Client calls through.
#ifndef HALFSTEP_CLIENT_STUBS_H_
#define HALFSTEP_CLIENT_STUBS_H_

#include <memory>

#include "client/client.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "halfstep/v1/quantization.grpc.pb.h"

namespace halfstep {

class Client::Stubs {
 public:
  explicit Stubs(const std::shared_ptr<grpc::ChannelInterface>& channel)
      : quantization(channel), calibration(channel), health(channel) {}

  v1::QuantizationService::Stub quantization;
  v1::CalibrationService::Stub calibration;
  grpc::health::v1::Health::Stub health;
};

}  // namespace halfstep

#endif  // HALFSTEP_CLIENT_STUBS_H_

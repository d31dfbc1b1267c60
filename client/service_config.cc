#include "client/service_config.h"

#include "absl/strings/string_view.h"
#include "absl/strings/substitute.h"

namespace halfstep {
namespace {

constexpr absl::string_view kServiceConfig = R"({
  "loadBalancingConfig": [{"round_robin": {}}],
  "methodConfig": [{
    "name": [
      {"service": "halfstep.v1.QuantizationService"},
      {"service": "halfstep.v1.CalibrationService"},
      {"service": "grpc.health.v1.Health", "method": "Check"}
    ]$0
  }]$1
})";
// The backoff, with jitter, is for servers that do not say how long to wait.
constexpr absl::string_view kRetryPolicy = R"(,
    "retryPolicy": {
      "maxAttempts": $0,
      "initialBackoff": "0.1s",
      "maxBackoff": "2s",
      "backoffMultiplier": 2,
      "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"]
    })";
constexpr absl::string_view kThrottling = R"(,
  "retryThrottling": {"maxTokens": 1000, "tokenRatio": 0.1})";

}  // namespace

std::string ServiceConfig(int attempts) {
  if (attempts <= 1) return absl::Substitute(kServiceConfig, "", "");
  return absl::Substitute(
      kServiceConfig, absl::Substitute(kRetryPolicy, attempts), kThrottling);
}

}  // namespace halfstep

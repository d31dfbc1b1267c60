#include "client/client.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/grpcpp.h>

#include <climits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/call_status.h"
#include "client/loopback.h"
#include "client/service_config.h"
#include "client/stubs.h"

namespace halfstep {
namespace {

using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

bool HasPort(absl::string_view address) {
  const size_t colon = address.rfind(':');
  int port = 0;
  return colon != absl::string_view::npos && colon > 0 &&
         absl::SimpleAtoi(address.substr(colon + 1), &port) && port > 0 &&
         port <= 65535;
}

absl::Status CheckAddress(absl::string_view address) {
  if (absl::StartsWith(address, "unix:")) {
    if (address.size() > 5) return absl::OkStatus();
  } else if (HasPort(address)) {
    return absl::OkStatus();
  }
  // Without a port, gRPC would silently take 443.
  return absl::InvalidArgumentError(
      absl::StrCat("address: '", address, "'; must be HOST:PORT or unix:PATH"));
}

grpc::ChannelArguments Arguments(const std::string& address,
                                 const ClientOptions& options) {
  grpc::ChannelArguments arguments;
  // Limits are the server's business; -1 means none here.
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  arguments.SetServiceConfigJSON(ServiceConfig(options.attempts));
  // A request that does not fit in this buffer is not retried, and nothing says
  // so. gRPC's default of 256 KiB would leave out every tensor worth sending.
  arguments.SetInt(GRPC_ARG_PER_RPC_RETRY_BUFFER_SIZE, INT_MAX);
  if (!options.server_name.empty()) {
    arguments.SetSslTargetNameOverride(options.server_name);
  }
  // A proxy for the web in the environment does not reach this machine.
  if (IsLoopback(address)) arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return arguments;
}

// protobuf counts a message's bytes in an int, and logs instead of failing
// well.
absl::Status CheckSize(const google::protobuf::Message& request) {
  const size_t bytes = request.ByteSizeLong();
  if (bytes <= INT_MAX) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("request: ", bytes, " bytes; must be at most ", INT_MAX));
}

// Calls `method` of `stub` and waits.
template <typename Response, typename Stub, typename Method, typename Request>
absl::StatusOr<Response> Call(Stub& stub, Method method, const Request& request,
                              absl::Duration timeout) {
  absl::Status size = CheckSize(request);
  if (!size.ok()) return size;
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
  Response response;
  const grpc::Status status = (stub.*method)(&context, request, &response);
  if (!status.ok()) return FromGrpcStatus(status);
  return response;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(
    const std::string& address, const ClientOptions& options) {
  absl::Status status = CheckAddress(address);
  if (!status.ok()) return status;
  if (options.attempts < 1 || options.attempts > kAttemptsMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("attempts: ", options.attempts, "; must be in [1, ",
                     kAttemptsMax, "]"));
  }
  return std::make_unique<Client>(
      grpc::CreateCustomChannel(address,
                                options.credentials != nullptr
                                    ? options.credentials
                                    : grpc::InsecureChannelCredentials(),
                                Arguments(address, options)),
      options);
}

Client::Client(const std::shared_ptr<grpc::ChannelInterface>& channel,
               const ClientOptions& options)
    : stubs_(std::make_unique<Stubs>(channel)), timeout_(options.timeout) {}

Client::~Client() = default;

absl::StatusOr<v1::QuantizeResponse> Client::Quantize(
    const v1::QuantizeRequest& request) {
  return Call<v1::QuantizeResponse>(stubs_->quantization,
                                    &v1::QuantizationService::Stub::Quantize,
                                    request, timeout_);
}

absl::StatusOr<v1::DequantizeResponse> Client::Dequantize(
    const v1::DequantizeRequest& request) {
  return Call<v1::DequantizeResponse>(
      stubs_->quantization, &v1::QuantizationService::Stub::Dequantize, request,
      timeout_);
}

absl::StatusOr<v1::FakeQuantizeResponse> Client::FakeQuantize(
    const v1::FakeQuantizeRequest& request) {
  return Call<v1::FakeQuantizeResponse>(
      stubs_->quantization, &v1::QuantizationService::Stub::FakeQuantize,
      request, timeout_);
}

absl::StatusOr<v1::MeasureErrorResponse> Client::MeasureError(
    const v1::MeasureErrorRequest& request) {
  return Call<v1::MeasureErrorResponse>(
      stubs_->quantization, &v1::QuantizationService::Stub::MeasureError,
      request, timeout_);
}

absl::StatusOr<v1::GetServerInfoResponse> Client::GetServerInfo() {
  return Call<v1::GetServerInfoResponse>(
      stubs_->quantization, &v1::QuantizationService::Stub::GetServerInfo,
      v1::GetServerInfoRequest(), timeout_);
}

absl::StatusOr<v1::MergeResponse> Client::Merge(
    const v1::MergeRequest& request) {
  return Call<v1::MergeResponse>(stubs_->calibration,
                                 &v1::CalibrationService::Stub::Merge, request,
                                 timeout_);
}

absl::StatusOr<v1::ComputeParametersResponse> Client::ComputeParameters(
    const v1::ComputeParametersRequest& request) {
  return Call<v1::ComputeParametersResponse>(
      stubs_->calibration, &v1::CalibrationService::Stub::ComputeParameters,
      request, timeout_);
}

absl::Status Client::CheckHealth() {
  const absl::StatusOr<HealthCheckResponse> response =
      Call<HealthCheckResponse>(stubs_->health, &Health::Stub::Check,
                                HealthCheckRequest(), timeout_);
  if (!response.ok()) return response.status();
  if (response->status() == HealthCheckResponse::SERVING) {
    return absl::OkStatus();
  }
  return absl::UnavailableError(absl::StrCat(
      "health: ", HealthCheckResponse::ServingStatus_Name(response->status()),
      "; must be SERVING"));
}

}  // namespace halfstep

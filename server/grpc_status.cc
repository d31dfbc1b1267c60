#include "server/grpc_status.h"

#include <grpcpp/support/status.h>

#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/field_error.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace halfstep {
namespace {

constexpr absl::string_view kBusyPayload = "halfstep/busy";
constexpr char kDomain[] = "halfstep";

void SetBadRequest(const std::string& path, absl::string_view message,
                   google::rpc::Status& details) {
  google::rpc::BadRequest bad_request;
  auto* violation = bad_request.add_field_violations();
  violation->set_field(path);
  // The message is `path: fault`; the violation has the path already.
  const std::string prefix = absl::StrCat(path, ": ");
  if (absl::StartsWith(message, prefix)) message.remove_prefix(prefix.size());
  violation->set_description(std::string(message));
  details.add_details()->PackFrom(bad_request);
}

void SetRetryInfo(absl::Duration delay, google::rpc::Status& details) {
  google::rpc::RetryInfo retry_info;
  const int64_t nanoseconds = absl::ToInt64Nanoseconds(delay);
  retry_info.mutable_retry_delay()->set_seconds(nanoseconds / 1'000'000'000);
  retry_info.mutable_retry_delay()->set_nanos(
      static_cast<int32_t>(nanoseconds % 1'000'000'000));
  details.add_details()->PackFrom(retry_info);
}

}  // namespace

absl::Status BusyError(absl::string_view message) {
  absl::Status status = absl::ResourceExhaustedError(message);
  status.SetPayload(kBusyPayload, absl::Cord());
  return status;
}

std::optional<absl::Duration> RetryDelay(const absl::Status& status) {
  if (!status.GetPayload(kBusyPayload).has_value()) return std::nullopt;
  return kBusyRetryDelay;
}

absl::string_view ErrorReason(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return FieldPath(status).has_value() ? "INVALID_FIELD"
                                           : "MALFORMED_MESSAGE";
    case absl::StatusCode::kResourceExhausted:
      return RetryDelay(status).has_value() ? "SERVER_BUSY" : "LIMIT_EXCEEDED";
    case absl::StatusCode::kFailedPrecondition:
      return "PRECONDITION";
    case absl::StatusCode::kUnimplemented:
      return "NOT_SERVED";
    case absl::StatusCode::kUnavailable:
      return "SHUTTING_DOWN";
    case absl::StatusCode::kCancelled:
      return "CANCELLED";
    case absl::StatusCode::kDeadlineExceeded:
      return "DEADLINE_EXCEEDED";
    default:
      return "INTERNAL";
  }
}

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const std::string message(status.message());
  google::rpc::Status details;
  details.set_code(static_cast<int>(status.code()));
  details.set_message(message);
  if (const std::optional<std::string> path = FieldPath(status)) {
    SetBadRequest(*path, message, details);
  }
  google::rpc::ErrorInfo error_info;
  error_info.set_reason(std::string(ErrorReason(status)));
  error_info.set_domain(kDomain);
  details.add_details()->PackFrom(error_info);
  if (const std::optional<absl::Duration> delay = RetryDelay(status)) {
    SetRetryInfo(*delay, details);
  }
  // The codes of Abseil and of gRPC are the same numbers.
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), message,
                      details.SerializeAsString());
}

}  // namespace halfstep

#include "server/wire/grpc_status.h"

#include <grpcpp/support/status.h>

#include <string>

#include "absl/random/random.h"
#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/field_error.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace halfstep {
namespace {

// What a BusyError carries: how many milliseconds to wait, and what is used up.
constexpr absl::string_view kRetryPayload = "halfstep/retry_milliseconds";
constexpr absl::string_view kLimitPayload = "halfstep/limit";
// Marks a StalledError, which has its own reason.
constexpr absl::string_view kStalledPayload = "halfstep/stalled";
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

void SetQuotaFailure(const absl::Status& status, google::rpc::Status& details) {
  google::rpc::QuotaFailure failure;
  auto* violation = failure.add_violations();
  if (const absl::optional<absl::Cord> limit =
          status.GetPayload(kLimitPayload)) {
    violation->set_subject(std::string(*limit));
  } else if (const std::optional<std::string> path = FieldPath(status)) {
    violation->set_subject(*path);
  }
  violation->set_description(std::string(status.message()));
  details.add_details()->PackFrom(failure);
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

absl::Status BusyError(absl::string_view limit, absl::string_view message) {
  thread_local absl::InsecureBitGen random;
  const auto milliseconds =
      absl::Uniform<int64_t>(absl::IntervalClosed, random,
                             absl::ToInt64Milliseconds(kBusyRetryDelayMin),
                             absl::ToInt64Milliseconds(kBusyRetryDelayMax));
  absl::Status status = absl::ResourceExhaustedError(
      absl::StrCat("the server is busy: ", message));
  status.SetPayload(kRetryPayload, absl::Cord(absl::StrCat(milliseconds)));
  status.SetPayload(kLimitPayload, absl::Cord(limit));
  return status;
}

std::string BusyLimit(const absl::Status& status) {
  const absl::optional<absl::Cord> limit = status.GetPayload(kLimitPayload);
  return limit.has_value() ? std::string(*limit) : std::string();
}

absl::Status StalledError(absl::Duration timeout) {
  absl::Status status = absl::DeadlineExceededError(absl::StrCat(
      "the client neither sent a whole message nor took one for ",
      absl::FormatDuration(timeout), "; must keep its call going"));
  status.SetPayload(kStalledPayload, absl::Cord());
  return status;
}

std::optional<absl::Duration> RetryDelay(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kRetryPayload);
  int64_t milliseconds = 0;
  if (!payload.has_value() ||
      !absl::SimpleAtoi(std::string(*payload), &milliseconds)) {
    return std::nullopt;
  }
  return absl::Milliseconds(milliseconds);
}

std::optional<std::string> Pushback(const absl::Status& status) {
  if (const std::optional<absl::Duration> delay = RetryDelay(status)) {
    return absl::StrCat(absl::ToInt64Milliseconds(*delay));
  }
  switch (status.code()) {
    case absl::StatusCode::kOk:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kDeadlineExceeded:
      return std::nullopt;
    default:
      return "-1";
  }
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
      return status.GetPayload(kStalledPayload).has_value()
                 ? "STALLED"
                 : "DEADLINE_EXCEEDED";
    case absl::StatusCode::kUnauthenticated:
      return "UNAUTHENTICATED";
    case absl::StatusCode::kPermissionDenied:
      return "PERMISSION_DENIED";
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
  if (absl::IsResourceExhausted(status)) SetQuotaFailure(status, details);
  if (const std::optional<absl::Duration> delay = RetryDelay(status)) {
    SetRetryInfo(*delay, details);
  }
  // The codes of Abseil and of gRPC are the same numbers.
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), message,
                      details.SerializeAsString());
}

}  // namespace halfstep

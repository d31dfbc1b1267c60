#include "client/call_status.h"

#include <grpcpp/support/status.h>

#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace halfstep {
namespace {

constexpr absl::string_view kTypePrefix = "type.googleapis.com/";

// The payload of the status that holds a Detail, if it has one that parses.
template <typename Detail>
std::optional<Detail> PayloadOf(const absl::Status& status) {
  const std::string url =
      std::string(kTypePrefix) + Detail::descriptor()->full_name();
  const absl::optional<absl::Cord> payload = status.GetPayload(url);
  Detail detail;
  if (!payload.has_value() || !detail.ParseFromString(std::string(*payload))) {
    return {};
  }
  return detail;
}

}  // namespace

absl::Status FromGrpcStatus(const grpc::Status& status) {
  // The numbers of the codes are the same in both.
  absl::Status translated(static_cast<absl::StatusCode>(status.error_code()),
                          status.error_message());
  google::rpc::Status envelope;
  if (translated.ok() || !envelope.ParseFromString(status.error_details())) {
    return translated;
  }
  for (const google::protobuf::Any& detail : envelope.details()) {
    translated.SetPayload(detail.type_url(), absl::Cord(detail.value()));
  }
  return translated;
}

std::vector<FieldViolation> FieldViolations(const absl::Status& status) {
  std::vector<FieldViolation> violations;
  const auto detail = PayloadOf<google::rpc::BadRequest>(status);
  if (!detail.has_value()) return violations;
  for (const auto& violation : detail->field_violations()) {
    violations.push_back(
        {.field = violation.field(), .description = violation.description()});
  }
  return violations;
}

std::optional<absl::Duration> RetryAfter(const absl::Status& status) {
  const auto detail = PayloadOf<google::rpc::RetryInfo>(status);
  if (!detail.has_value()) return {};
  return absl::Seconds(detail->retry_delay().seconds()) +
         absl::Nanoseconds(detail->retry_delay().nanos());
}

}  // namespace halfstep

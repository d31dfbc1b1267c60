// The one translation of gRPC's statuses into ours.
#ifndef HALFSTEP_CLIENT_CALL_STATUS_H_
#define HALFSTEP_CLIENT_CALL_STATUS_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace grpc {
class Status;
}  // namespace grpc

namespace halfstep {

// The same code and message. Every detail of the google.rpc.Status that came
// with it becomes a payload of the status under the detail's type URL, such as
// "type.googleapis.com/google.rpc.BadRequest"; the functions below read them.
absl::Status FromGrpcStatus(const grpc::Status& status);

// A field at fault, as the server names it.
struct FieldViolation {
  std::string field;        // "spec.bits"
  std::string description;  // "40; must be at most 32"
};

// What the status's BadRequest says; empty if it has none.
std::vector<FieldViolation> FieldViolations(const absl::Status& status);

// When the same call may succeed, as the status's RetryInfo says. Without one
// it never will: the call is over a limit.
std::optional<absl::Duration> RetryAfter(const absl::Status& status);

}  // namespace halfstep

#endif  // HALFSTEP_CLIENT_CALL_STATUS_H_

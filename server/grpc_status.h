// The one translation of our statuses into gRPC's.
//
// Every error carries a google.rpc.Status in its details:
//   ErrorInfo   always: a stable reason under the domain "halfstep"
//   BadRequest  where a field is at fault: its path
//   RetryInfo   only where the same call may succeed later
#ifndef HALFSTEP_SERVER_GRPC_STATUS_H_
#define HALFSTEP_SERVER_GRPC_STATUS_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace grpc {
class Status;
}  // namespace grpc

namespace halfstep {

// How soon a client should come back when the server is busy.
inline constexpr absl::Duration kBusyRetryDelay = absl::Milliseconds(100);

// RESOURCE_EXHAUSTED that may pass: the server has no room just now.
absl::Status BusyError(absl::string_view message);

// After which time to try again, if that can help.
std::optional<absl::Duration> RetryDelay(const absl::Status& status);

// The ErrorInfo reason of a status that is not OK: INVALID_FIELD,
// MALFORMED_MESSAGE, LIMIT_EXCEEDED, SERVER_BUSY, PRECONDITION, NOT_SERVED,
// SHUTTING_DOWN, CANCELLED, DEADLINE_EXCEEDED or INTERNAL.
absl::string_view ErrorReason(const absl::Status& status);

// `status` as gRPC sends it, with the details above.
grpc::Status ToGrpcStatus(const absl::Status& status);

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_GRPC_STATUS_H_

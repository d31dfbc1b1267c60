// The one translation of our statuses into gRPC's.
//
// Every error carries a google.rpc.Status in its details:
//   ErrorInfo     always: a stable reason under the domain "halfstep"
//   BadRequest    where a field is at fault: its path
//   QuotaFailure  where a limit of the server is: which one
//   RetryInfo     only where the same call may succeed later
//
// Clients that try again by themselves are told by a trailer whether to.
#ifndef HALFSTEP_SERVER_WIRE_GRPC_STATUS_H_
#define HALFSTEP_SERVER_WIRE_GRPC_STATUS_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace grpc {
class Status;
}  // namespace grpc

namespace halfstep {

// How soon a client should come back when the server is busy: each is told a
// time of its own in this range, so that they do not all come at once.
inline constexpr absl::Duration kBusyRetryDelayMin = absl::Milliseconds(50);
inline constexpr absl::Duration kBusyRetryDelayMax = absl::Milliseconds(150);

// The trailer that tells gRPC's own retries how many milliseconds to wait, or,
// by -1, not to try again. Part of gRPC's retry design (gRFC A6).
inline constexpr char kPushbackKey[] = "grpc-retry-pushback-ms";

// RESOURCE_EXHAUSTED that may pass: the server has no room just now. `limit` is
// the flag of what is used up, such as "max_bytes_in_flight".
absl::Status BusyError(absl::string_view limit, absl::string_view message);

// The `limit` of a BusyError; empty for every other status.
std::string BusyLimit(const absl::Status& status);

// DEADLINE_EXCEEDED of the server's own: nothing came from the client, and it
// took nothing, for `timeout`.
absl::Status StalledError(absl::Duration timeout);

// After which time to try again, if that can help.
std::optional<absl::Duration> RetryDelay(const absl::Status& status);

// The value of kPushbackKey for `status`; nothing where a client may decide by
// itself, as when this server shuts down and another may be there.
std::optional<std::string> Pushback(const absl::Status& status);

// The ErrorInfo reason of a status that is not OK: INVALID_FIELD,
// MALFORMED_MESSAGE, LIMIT_EXCEEDED, SERVER_BUSY, PRECONDITION, NOT_SERVED,
// SHUTTING_DOWN, CANCELLED, DEADLINE_EXCEEDED, STALLED, UNAUTHENTICATED,
// PERMISSION_DENIED or INTERNAL.
absl::string_view ErrorReason(const absl::Status& status);

// `status` as gRPC sends it, with the details above.
grpc::Status ToGrpcStatus(const absl::Status& status);

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_WIRE_GRPC_STATUS_H_

// What ties a call to what its caller, and whoever called them, knows of it.
#ifndef HALFSTEP_SERVER_CALL_REQUEST_ID_H_
#define HALFSTEP_SERVER_CALL_REQUEST_ID_H_

#include <string>

#include "absl/strings/string_view.h"

namespace halfstep {

// Metadata of a request that names it, and of its reply (in the trailers, since
// a refusal with headers of its own would count as an answer and not be tried
// again).
inline constexpr char kRequestIdKey[] = "x-request-id";
// W3C Trace Context, https://www.w3.org/TR/trace-context/.
inline constexpr char kTraceParentKey[] = "traceparent";

// The longest identifier that is taken from a client.
inline constexpr size_t kRequestIdSizeMax = 128;

// `given` if it is an identifier: 1 to kRequestIdSizeMax letters, digits and
// any of -_.:/+=@. Otherwise a new one: 15 random hexadecimal digits.
std::string RequestId(absl::string_view given);

// The trace id of a traceparent, 32 hexadecimal digits; empty if it is none.
absl::string_view TraceId(absl::string_view traceparent);

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_CALL_REQUEST_ID_H_

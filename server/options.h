// Every setting and every limit of a server, with its default.
//
// docs/operations.md explains them; GetServerInfo publishes the limits.
#ifndef HALFSTEP_SERVER_OPTIONS_H_
#define HALFSTEP_SERVER_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace halfstep {

// What one call may ask for. A call over one of these is RESOURCE_EXHAUSTED
// without RetryInfo: it never succeeds on this server.
struct CallLimits {
  // Bytes of the payload of a request or a reply.
  uint64_t max_message_bytes = uint64_t{256} << 20;
  // Bytes that a stream may hold back until its tensor is whole.
  uint64_t max_buffered_bytes = uint64_t{256} << 20;
  // Pairs of scale and zero point per tensor.
  uint64_t max_parameter_pairs = 4'194'304;
  // Elements given as numbers.
  uint64_t max_values = 65'536;
  // Indices of a calibration axis.
  uint64_t max_calibration_summaries = 4'096;
};

// What all calls together may hold. A call past one of these is
// RESOURCE_EXHAUSTED with RetryInfo: it may succeed later.
struct LoadLimits {
  // Bytes of requests, replies and parameters held for calls in flight. 0: half
  // of the memory that the machine or its container has.
  uint64_t max_bytes_in_flight = 0;
  // Calls that wait for their turn to be read.
  size_t max_waiting_calls = 1'024;
  // Calls that are read and wait for a thread.
  size_t max_queued_calls = 1'024;
  // How long a client may neither send nor take anything while its call waits
  // for it: until then it holds a ticket. Infinite: for ever.
  absl::Duration stall_timeout = absl::Seconds(60);
};

struct ServerOptions {
  // HOST:PORT (port 0 picks one) or unix:PATH.
  std::vector<std::string> listen;
  // Threads that compute; 0 means as many as the machine has.
  int threads = 0;
  CallLimits call;
  LoadLimits load;
  // How long calls in flight may take to finish once the server is told to
  // stop.
  absl::Duration drain_timeout = absl::Seconds(10);
  // off, error, warn, info (one line per call) or debug.
  std::string log_level = "info";
};

// Room that a message has for everything but its payload when the payload is as
// large as it may be.
inline constexpr uint64_t kFieldBytesAllowance = uint64_t{64} << 10;

// The largest value of max_message_bytes: gRPC counts a message's bytes, and
// protobuf a field's, in an int.
inline constexpr uint64_t kMessageBytesMax = (uint64_t{1} << 31) - (1 << 20);

// Calls whose request is at most this long are computed on the thread that read
// them: handing them over costs about as much as the work itself.
inline constexpr size_t kInlineRequestBytesMax = size_t{64} << 10;

// Unless their reply is longer than this: a short request can ask for a million
// parameters.
inline constexpr size_t kInlineReplyBytesMax = size_t{256} << 10;

// `options` with nothing left to choose. INVALID_ARGUMENT, naming the flag, if
// they contradict themselves.
absl::StatusOr<ServerOptions> Resolve(ServerOptions options);

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_OPTIONS_H_

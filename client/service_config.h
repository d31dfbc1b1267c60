// How gRPC spreads calls over the servers behind one address, and when it calls
// again by itself. docs/scaling.md has the same for other languages.
#ifndef HALFSTEP_CLIENT_SERVICE_CONFIG_H_
#define HALFSTEP_CLIENT_SERVICE_CONFIG_H_

#include <string>

namespace halfstep {

// gRPC's own limit of attempts.
inline constexpr int kAttemptsMax = 5;

// A gRPC service config in JSON.
//
// Calls go to every address of the name in turn (round_robin), past servers
// that do not answer. With `attempts` in [2, kAttemptsMax], a call that fails
// with UNAVAILABLE or RESOURCE_EXHAUSTED is tried again, on the next server, up
// to so many times in all, unless
//   - the server says how long to wait (grpc-retry-pushback-ms), or that there
//     is no use (-1: a call over a limit), or
//   - retries are throttled: each failure takes one of 1000 marks, each success
//     gives back a tenth, and below half of them nothing is tried again, so
//     that clients of servers that all fail do not add to their load.
// With `attempts` of 1 nothing is tried again.
std::string ServiceConfig(int attempts);

}  // namespace halfstep

#endif  // HALFSTEP_CLIENT_SERVICE_CONFIG_H_

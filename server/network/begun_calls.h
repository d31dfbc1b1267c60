// How many calls of a connection gRPC holds, those included that nobody has
// taken up yet.
//
// gRPC parses everything that a connection sends before it lets any of its
// calls run: 40,000 calls that are reset at once pile up half a gigabyte before
// the first of them reaches us. What gRPC counts for channelz, from within its
// parsing, is all that can be known of them meanwhile.
#ifndef HALFSTEP_SERVER_NETWORK_BEGUN_CALLS_H_
#define HALFSTEP_SERVER_NETWORK_BEGUN_CALLS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace halfstep {

// Not thread-safe.
class BegunCalls {
 public:
  // That have begun on the connection that gRPC calls `peer`
  // ("ipv4:127.0.0.1:42522") and are not cleared away; nullopt if gRPC knows of
  // no such connection. `is_new`: one that has gone may have had its name.
  // Takes some 10 microseconds, and more where there are new connections.
  std::optional<uint64_t> On(absl::string_view peer, bool is_new);

 private:
  // Looks for sockets that are new.
  void Learn();

  // What channelz calls the connections: names of peers to ids of sockets.
  // Those that have gone stay for a while.
  absl::flat_hash_map<std::string, intptr_t> sockets_;
  intptr_t next_socket_ = 0;
  absl::Time learned_ = absl::InfinitePast();
};

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_NETWORK_BEGUN_CALLS_H_

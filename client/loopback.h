// Which addresses are of this machine.
#ifndef HALFSTEP_CLIENT_LOOPBACK_H_
#define HALFSTEP_CLIENT_LOOPBACK_H_

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"

namespace halfstep {

// Whether what is sent to `address` stays on this machine.
inline bool IsLoopback(absl::string_view address) {
  return absl::StartsWith(address, "localhost:") ||
         absl::StartsWith(address, "127.") ||
         absl::StartsWith(address, "[::1]:") ||
         absl::StartsWith(address, "unix:");
}

}  // namespace halfstep

#endif  // HALFSTEP_CLIENT_LOOPBACK_H_

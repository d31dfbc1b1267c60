// Files that only their owner may read: private keys and tokens.
#ifndef HALFSTEP_SERVER_SECURITY_SECRET_FILE_H_
#define HALFSTEP_SERVER_SECURITY_SECRET_FILE_H_

#include <string>

#include "absl/status/statusor.h"

namespace halfstep {

// The contents of the file at `path`, at most 1 MiB. FAILED_PRECONDITION,
// `PATH: what it is; what it must be`, if it is larger, empty, no file or
// cannot be read.
absl::StatusOr<std::string> ReadSettingsFile(const std::string& path);

// The same, which is also FAILED_PRECONDITION if others can read or write it.
// The owner's group may read it if the owner is root: so that a secret that
// Kubernetes mounts can be read by a server that is not root. (The rule of
// PostgreSQL's server.key.)
absl::StatusOr<std::string> ReadSecretFile(const std::string& path);

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_SECURITY_SECRET_FILE_H_

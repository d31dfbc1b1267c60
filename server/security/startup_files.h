// The files that settings name, read once to see whether a server could start
// with them: --check-config, and before each start.
#ifndef HALFSTEP_SERVER_SECURITY_STARTUP_FILES_H_
#define HALFSTEP_SERVER_SECURITY_STARTUP_FILES_H_

#include "absl/status/status.h"
#include "server/options.h"

namespace halfstep {

// FAILED_PRECONDITION, naming the flag and the file, for the first that cannot
// be used: `--tls-key: /etc/key.pem: readable by all; must be ...`.
absl::Status CheckFiles(const ServerOptions& options);

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_SECURITY_STARTUP_FILES_H_

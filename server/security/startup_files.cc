#include "server/security/startup_files.h"

#include "server/security/security.h"

namespace halfstep {

absl::Status CheckFiles(const ServerOptions& options) {
  return CheckSecurityFiles(options.security);
}

}  // namespace halfstep

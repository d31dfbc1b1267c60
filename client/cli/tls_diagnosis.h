// Why a connection with TLS failed, in words for people: gRPC says little more
// than that it did.
#ifndef HALFSTEP_CLIENT_CLI_TLS_DIAGNOSIS_H_
#define HALFSTEP_CLIENT_CLI_TLS_DIAGNOSIS_H_

#include "absl/status/status.h"
#include "client/cli/command.h"

namespace halfstep::cli {

// `status`, of a call to globals.server, with the reason in its message if it
// is UNAVAILABLE because of TLS, and what to do next. For that it may shake
// hands with the server once more, for at most some seconds, sending nothing.
absl::Status ExplainTls(const absl::Status& status,
                        const GlobalOptions& globals);

}  // namespace halfstep::cli

#endif  // HALFSTEP_CLIENT_CLI_TLS_DIAGNOSIS_H_

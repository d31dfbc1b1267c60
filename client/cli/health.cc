// halfstep health: whether a server serves.
#include <iostream>
#include <nlohmann/json.hpp>

#include "client/cli/command.h"
#include "client/cli/connection.h"
#include "client/cli/report.h"

namespace halfstep::cli {
namespace {

ExitCode Run(const GlobalOptions& globals) {
  return WithClient(globals, [&](Client& client) {
    const absl::Status status = client.CheckHealth();
    if (!status.ok()) return FailCall(status);
    if (globals.json) {
      PrintJson({{"status", "SERVING"}});
    } else {
      std::cout << "SERVING\n";
    }
    return ExitCode::kDone;
  });
}

}  // namespace

void AddHealth(Commands& commands) {
  commands.Add("health", "Ask a server whether it serves",
               "  halfstep health --server localhost:50051", Run);
}

}  // namespace halfstep::cli

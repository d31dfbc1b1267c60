// halfstep-server: serves until SIGTERM or SIGINT; SIGHUP reads the
// configuration again.
#include <grpc/support/log.h>
#include <pthread.h>
#include <signal.h>

#include <cstdlib>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/call/freed_memory.h"
#include "server/ending.h"
#include "server/server.h"
#include "server/settings/flags.h"
#include "server/settings/settings.h"

namespace halfstep {
namespace {

// Blocks the signals that the server answers, in this thread and all that it
// starts.
sigset_t BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

// Reads the configuration again and hands on what a running server can change.
// A configuration that is wrong changes nothing.
void Reload(CommandLine& line, Server& server) {
  absl::StatusOr<Configuration> again = Configure(line.sources);
  if (!again.ok()) {
    server.LogError(
        absl::StrCat("configuration not reloaded: ", again.status().message()));
    return;
  }
  std::vector<std::string> changed;
  std::vector<std::string> waiting;
  for (const std::string& key : ChangedKeys(line.configuration, *again)) {
    const Setting& setting = *FindSetting(key);
    // What cannot change stays as it is, so that it is told again next time.
    absl::Status kept =
        setting.reloads
            ? absl::OkStatus()
            : SetFromText(setting, TextsOf(setting, line.configuration.given),
                          again->given);
    if (kept.ok()) (setting.reloads ? changed : waiting).push_back(key);
  }
  line.configuration = *std::move(again);
  server.Reload(line.configuration.resolved);
  server.LogInfo(absl::StrCat(
      "configuration reloaded; changed: ",
      changed.empty() ? "nothing" : absl::StrJoin(changed, ", "),
      waiting.empty()
          ? ""
          : absl::StrCat("; needs a restart: ", absl::StrJoin(waiting, ", "))));
}

int Run(int argc, char** argv) {
  KeepFreedMemory();
  const sigset_t signals = BlockSignals();
  CommandLine line;
  if (const std::optional<int> code = ParseCommandLine(argc, argv, line)) {
    return *code;
  }
  // What gRPC has to say is for those who ask for it; a failure to bind, say,
  // is reported below in one line.
  if (std::getenv("GRPC_VERBOSITY") == nullptr) {
    gpr_set_log_function([](gpr_log_func_args*) {});
  }
  const auto server = Server::Start(line.configuration.resolved);
  if (!server.ok()) {
    std::cerr << "halfstep-server: " << server.status().message() << "\n";
    // Files may have changed since they were checked.
    return absl::IsFailedPrecondition(server.status()) ? kExitConfiguration
                                                       : kExitFailed;
  }
  for (const std::string& address : (*server)->addresses()) {
    std::cout << "listening on " << address << std::endl;
  }
  int signal = 0;
  while (sigwait(&signals, &signal) == 0 && signal == SIGHUP) {
    Reload(line, **server);
  }
  EndServer(**server, line.configuration.resolved, signals);
  return kExitOk;
}

}  // namespace
}  // namespace halfstep

int main(int argc, char** argv) { return halfstep::Run(argc, argv); }

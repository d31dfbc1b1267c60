// halfstep-server: serves until SIGTERM or SIGINT.
#include <grpc/support/log.h>
#include <pthread.h>
#include <signal.h>

#include <cstdlib>
#include <iostream>

#include "server/flags.h"
#include "server/server.h"

namespace {

// Blocks the signals that end the server, in this thread and all that it
// starts.
sigset_t BlockEndSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

}  // namespace

int main(int argc, char** argv) {
  const sigset_t signals = BlockEndSignals();
  halfstep::ServerOptions options;
  if (const std::optional<int> code =
          halfstep::ParseFlags(argc, argv, options)) {
    return *code;
  }
  // What gRPC has to say is for those who ask for it; a failure to bind, say,
  // is reported below in one line.
  if (std::getenv("GRPC_VERBOSITY") == nullptr) {
    gpr_set_log_function([](gpr_log_func_args*) {});
  }
  const auto server = halfstep::Server::Start(options);
  if (!server.ok()) {
    std::cerr << "halfstep-server: " << server.status().message() << "\n";
    return halfstep::kExitFailed;
  }
  for (const std::string& address : (*server)->addresses()) {
    std::cout << "listening on " << address << std::endl;
  }
  int signal = 0;
  sigwait(&signals, &signal);
  (*server)->Shutdown(options.drain_timeout);
  return halfstep::kExitOk;
}

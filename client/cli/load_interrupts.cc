#include "client/cli/load_interrupts.h"

#include <cstdlib>

#include "client/cli/command.h"

namespace halfstep::cli {
namespace {

// Means nothing but that the thread should look around.
constexpr int kWake = SIGUSR1;

}  // namespace

Interrupts::Interrupts() {
  sigemptyset(&signals_);
  sigaddset(&signals_, SIGINT);
  sigaddset(&signals_, SIGTERM);
  sigaddset(&signals_, kWake);
  pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  thread_ = std::thread([this] { Wait(); });
}

Interrupts::~Interrupts() {
  done_ = true;
  pthread_kill(thread_.native_handle(), kWake);
  thread_.join();
}

void Interrupts::Wait() {
  int which = 0;
  while (sigwait(&signals_, &which) == 0 && !done_) {
    if (which == kWake) continue;
    if (!running_ || came_) {
      Fail(ExitCode::kInterrupted, absl::CancelledError("interrupted"));
      std::_Exit(static_cast<int>(ExitCode::kInterrupted));
    }
    came_ = true;
  }
}

}  // namespace halfstep::cli

// SIGINT and SIGTERM during a load run.
#ifndef HALFSTEP_CLIENT_CLI_LOAD_INTERRUPTS_H_
#define HALFSTEP_CLIENT_CLI_LOAD_INTERRUPTS_H_

#include <signal.h>

#include <atomic>
#include <thread>

namespace halfstep::cli {

// While a step runs, the first signal stops it; otherwise, and the second time,
// the process ends at once.
class Interrupts {
 public:
  // Blocks the signals, before gRPC starts its threads, and waits for them in a
  // thread of its own.
  Interrupts();
  ~Interrupts();
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

  void set_running(bool running) { running_ = running; }
  bool came() const { return came_; }

 private:
  void Wait();

  sigset_t signals_;
  std::atomic<bool> running_{false};
  std::atomic<bool> came_{false};
  std::atomic<bool> done_{false};
  std::thread thread_;
};

}  // namespace halfstep::cli

#endif  // HALFSTEP_CLIENT_CLI_LOAD_INTERRUPTS_H_

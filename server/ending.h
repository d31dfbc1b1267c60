// The end of the process once it is told to stop.
#ifndef HALFSTEP_SERVER_ENDING_H_
#define HALFSTEP_SERVER_ENDING_H_

#include <signal.h>

#include <functional>
#include <string>
#include <thread>

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "server/options.h"

namespace halfstep {

class Server;

// Of a process whose end hung.
inline constexpr int kExitHung = 3;

// Ends the process with kExitHung, and one line on standard error, unless it is
// destroyed before `limit`. `describe` says what the process is waiting for.
class HangWatch {
 public:
  HangWatch(absl::Duration limit, std::function<std::string()> describe);
  ~HangWatch();
  HangWatch(const HangWatch&) = delete;
  HangWatch& operator=(const HangWatch&) = delete;

 private:
  absl::Notification over_;
  std::thread thread_;
};

// Shuts `server` down as its options say. A further one of `signals`, which
// must be blocked, makes it cancel at once what is in flight. Returns when all
// is gone; what takes 10 s longer than `options` allow has hung.
void EndServer(Server& server, const ServerOptions& options,
               const sigset_t& signals);

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_ENDING_H_

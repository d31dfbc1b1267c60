// Connects to the server's own addresses now and then, as a client would.
//
// A server that accepts no more, or that no descriptors are left for, may look
// well from inside. So what counts is an answer to a new connection.
#ifndef HALFSTEP_SERVER_NETWORK_WATCHDOG_H_
#define HALFSTEP_SERVER_NETWORK_WATCHDOG_H_

#include <sys/socket.h>

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"

namespace halfstep {

// Where to connect to.
struct WatchdogTarget {
  std::string name;  // for people
  sockaddr_storage address;
  socklen_t size;
};

// How a socket that listens can be reached from this machine.
WatchdogTarget TargetOf(const std::string& name, int listening_fd);

// Whether a new connection to `target` gets an answer within `timeout`: bytes,
// or, to the nonsense that is sent, its end. So this tells nothing of a server
// that closes new connections for want of room.
bool Answers(const WatchdogTarget& target, absl::Duration timeout);

class Watchdog {
 public:
  // Called by the watchdog's thread when what it finds changes. `name`: which
  // address does not answer, or answers again.
  using Report =
      std::function<void(bool is_reachable, const std::string& name)>;

  // Looks every `interval`; never, if that is infinite. `is_turning_away` says
  // whether new connections are closed for want of room, which counts as no
  // answer.
  Watchdog(absl::Duration interval, std::vector<WatchdogTarget> targets,
           std::function<bool()> is_turning_away, Report report);
  // Waits for a look that is under way, about a second at most.
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

 private:
  void Run();
  // The first target that does not answer, or null.
  const WatchdogTarget* Look() const;

  const absl::Duration interval_;
  const std::vector<WatchdogTarget> targets_;
  const std::function<bool()> is_turning_away_;
  const Report report_;
  absl::Notification stop_;
  std::thread thread_;
};

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_NETWORK_WATCHDOG_H_

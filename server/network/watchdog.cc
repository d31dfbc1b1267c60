#include "server/network/watchdog.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "absl/time/clock.h"
#include "server/network/listening_socket.h"

namespace halfstep {
namespace {

// Looks that fail one after the other before it counts: a busy machine may miss
// one.
constexpr int kFailuresMax = 3;

constexpr absl::Duration kTimeout = absl::Seconds(1);
// Between looks while something is wrong.
constexpr absl::Duration kIntervalWhileFailing = absl::Seconds(1);

// Neither a greeting of HTTP/2 nor of TLS: so whoever speaks one of them ends
// the connection, if it has not sent anything before.
constexpr std::array<char, 32> kNonsense = {};

bool Await(int fd, int16_t events, absl::Time deadline) {
  pollfd watched{fd, events, 0};
  const absl::Duration left = deadline - absl::Now();
  return poll(&watched, 1,
              static_cast<int>(
                  std::max<int64_t>(0, absl::ToInt64Milliseconds(left)))) == 1;
}

}  // namespace

WatchdogTarget TargetOf(const std::string& name, int listening_fd) {
  WatchdogTarget target{name, {}, sizeof(sockaddr_storage)};
  auto* const generic = reinterpret_cast<sockaddr*>(&target.address);
  getsockname(listening_fd, generic, &target.size);
  // Every address is no address: the loopback's is one of them.
  if (generic->sa_family == AF_INET) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(target.address);
    if (v4.sin_addr.s_addr == htonl(INADDR_ANY)) {
      v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    }
  } else if (generic->sa_family == AF_INET6) {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(target.address);
    if (IN6_IS_ADDR_UNSPECIFIED(&v6.sin6_addr)) v6.sin6_addr = in6addr_loopback;
  }
  return target;
}

bool Answers(const WatchdogTarget& target, absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  const Descriptor socket(::socket(
      target.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.is_open()) return false;
  const auto* const address =
      reinterpret_cast<const sockaddr*>(&target.address);
  if (connect(socket.get(), address, target.size) != 0) {
    if (errno != EINPROGRESS) return false;
    int error = 0;
    socklen_t size = sizeof(error);
    if (!Await(socket.get(), POLLOUT, deadline) ||
        getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0 ||
        error != 0) {
      return false;
    }
  }
  if (send(socket.get(), kNonsense.data(), kNonsense.size(), MSG_NOSIGNAL) <
      0) {
    return false;
  }
  return Await(socket.get(), POLLIN, deadline);
}

Watchdog::Watchdog(absl::Duration interval, std::vector<WatchdogTarget> targets,
                   std::function<bool()> is_turning_away, Report report)
    : interval_(interval),
      targets_(std::move(targets)),
      is_turning_away_(std::move(is_turning_away)),
      report_(std::move(report)) {
  if (interval != absl::InfiniteDuration() && !targets_.empty()) {
    thread_ = std::thread([this] { Run(); });
  }
}

Watchdog::~Watchdog() {
  stop_.Notify();
  if (thread_.joinable()) thread_.join();
}

void Watchdog::Run() {
  int failures = 0;
  while (!stop_.WaitForNotificationWithTimeout(
      failures == 0 ? interval_ : std::min(interval_, kIntervalWhileFailing))) {
    const WatchdogTarget* const silent = Look();
    if (silent != nullptr) {
      if (++failures == kFailuresMax) report_(false, silent->name);
    } else {
      if (failures >= kFailuresMax) report_(true, targets_.front().name);
      failures = 0;
    }
  }
}

const WatchdogTarget* Watchdog::Look() const {
  for (const WatchdogTarget& target : targets_) {
    if (!Answers(target, kTimeout) || is_turning_away_()) return &target;
  }
  return nullptr;
}

}  // namespace halfstep

#include "server/ending.h"

#include <unistd.h>

#include <iostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/server.h"

namespace halfstep {
namespace {

// What cancelled calls need to go, and gRPC to close its connections: far less
// than this on any machine.
constexpr absl::Duration kHangTime = absl::Seconds(10);

// How often somebody looks for a further signal.
constexpr absl::Duration kSignalInterval = absl::Milliseconds(50);

}  // namespace

HangWatch::HangWatch(absl::Duration limit,
                     std::function<std::string()> describe)
    : thread_([this, limit, describe = std::move(describe)] {
        if (over_.WaitForNotificationWithTimeout(limit)) return;
        std::cerr << absl::StrCat("halfstep-server: shutdown: hangs, ",
                                  describe(), "; must end within ",
                                  absl::FormatDuration(limit), "\n")
                  << std::flush;
        // Nothing is cleaned up: whatever hangs would hang that, too.
        _exit(kExitHung);
      }) {}

HangWatch::~HangWatch() {
  over_.Notify();
  thread_.join();
}

void EndServer(Server& server, const ServerOptions& options,
               const sigset_t& signals) {
  const HangWatch watch(options.drain_delay + options.drain_timeout + kHangTime,
                        [&server] { return server.DescribeShutdown(); });
  absl::Notification over;
  std::thread listener([&] {
    const timespec interval = absl::ToTimespec(kSignalInterval);
    while (!over.HasBeenNotified()) {
      const int signal = sigtimedwait(&signals, nullptr, &interval);
      if (signal == SIGTERM || signal == SIGINT) server.HastenShutdown();
    }
  });
  server.Shutdown(options.drain_timeout, options.drain_delay);
  over.Notify();
  listener.join();
}

}  // namespace halfstep

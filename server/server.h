// A running server: listeners, services and the executor behind them.
#ifndef HALFSTEP_SERVER_SERVER_H_
#define HALFSTEP_SERVER_SERVER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/options.h"

namespace grpc {
class Channel;
}  // namespace grpc

namespace halfstep {

class Server {
 public:
  // Binds every address of `options` and serves. UNAVAILABLE, naming the
  // address, if one cannot be bound. No address at all is allowed: such a
  // server is reached by InProcessChannel only.
  static absl::StatusOr<std::unique_ptr<Server>> Start(
      const ServerOptions& options);

  // Shutdown(absl::ZeroDuration()) if that has not happened yet.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // What clients connect to: "127.0.0.1:40123", "unix:/run/halfstep.sock".
  // As many as options.listen, in the same order, with real ports.
  const std::vector<std::string>& addresses() const;

  // A channel that needs no socket.
  std::shared_ptr<grpc::Channel> InProcessChannel();

  // Health says NOT_SERVING from now on, while calls are still taken for
  // `delay`. Then takes no new connection, refuses new calls with UNAVAILABLE,
  // lets those in flight finish, cancels what is left after `grace`, and
  // returns when all is gone. Must not be called from a handler or a signal
  // handler.
  void Shutdown(absl::Duration grace,
                absl::Duration delay = absl::ZeroDuration());

  // Makes a Shutdown that is under way end its delay and its grace now.
  void HastenShutdown();

  // What Shutdown waits for: "waiting for calls to finish; 2 in flight: ...".
  std::string DescribeShutdown() const;

  // Takes over what a running server can change: settings that
  // server/settings/settings.cc says can be reloaded, and the content of the
  // files they name. The rest of `options` is not looked at.
  void Reload(const ServerOptions& options);

  // Lines of the log about the server as a whole.
  void LogInfo(absl::string_view text);
  void LogError(absl::string_view text);

 private:
  class Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_SERVER_H_

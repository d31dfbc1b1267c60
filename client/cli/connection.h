// The server that a command talks to: the one named on the command line, or one
// of its own inside the process.
#ifndef HALFSTEP_CLIENT_CLI_CONNECTION_H_
#define HALFSTEP_CLIENT_CLI_CONNECTION_H_

#include <memory>

#include "absl/status/statusor.h"
#include "client/cli/command.h"
#include "client/client.h"

namespace grpc {
class Channel;
}  // namespace grpc

namespace halfstep {
class Server;
}  // namespace halfstep

namespace halfstep::cli {

class Connection {
 public:
  // INVALID_ARGUMENT if globals.server is no address; otherwise errors of
  // Server::Start.
  static absl::StatusOr<Connection> Open(const GlobalOptions& globals);

  Connection(Connection&&) noexcept;
  Connection& operator=(Connection&&) = delete;
  ~Connection();

  Client& client() { return *client_; }

  // A further channel to the server inside the process; null if it is another
  // process.
  std::shared_ptr<grpc::Channel> InProcessChannel();

 private:
  Connection(std::unique_ptr<Server> server, std::unique_ptr<Client> client);

  std::unique_ptr<Server> server_;  // null if it is another process
  std::unique_ptr<Client> client_;
};

// Opens a connection and runs `command` with its client.
ExitCode WithClient(const GlobalOptions& globals,
                    const std::function<ExitCode(Client&)>& command);

}  // namespace halfstep::cli

#endif  // HALFSTEP_CLIENT_CLI_CONNECTION_H_

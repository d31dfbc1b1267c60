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
class ChannelCredentials;
}  // namespace grpc

namespace halfstep {
class Server;
}  // namespace halfstep

namespace halfstep::cli {

class Connection {
 public:
  // INVALID_ARGUMENT if globals.server is no address or options contradict each
  // other, FAILED_PRECONDITION if a file of globals.credentials is not good;
  // otherwise errors of Server::Start.
  static absl::StatusOr<Connection> Open(const GlobalOptions& globals);

  Connection(Connection&&) noexcept;
  Connection& operator=(Connection&&) = delete;
  ~Connection();

  Client& client() { return *client_; }

  // What further channels to the same server have to be opened with; null:
  // nothing.
  const std::shared_ptr<grpc::ChannelCredentials>& credentials() const {
    return credentials_;
  }

  // A further channel to the server inside the process; null if it is another
  // process.
  std::shared_ptr<grpc::Channel> InProcessChannel();

 private:
  Connection(std::unique_ptr<Server> server, std::unique_ptr<Client> client,
             std::shared_ptr<grpc::ChannelCredentials> credentials);

  std::unique_ptr<Server> server_;  // null if it is another process
  std::unique_ptr<Client> client_;
  std::shared_ptr<grpc::ChannelCredentials> credentials_;
};

// Fail for Connection::Open.
ExitCode FailOpen(const absl::Status& status);

// Opens a connection and runs `command` with its client.
ExitCode WithClient(const GlobalOptions& globals,
                    const std::function<ExitCode(Client&)>& command);

}  // namespace halfstep::cli

#endif  // HALFSTEP_CLIENT_CLI_CONNECTION_H_

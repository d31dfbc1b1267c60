#include "client/cli/connection.h"

#include <grpcpp/channel.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/options.h"
#include "server/server.h"

namespace halfstep::cli {
namespace {

// Nobody else uses this server: it logs only what goes wrong, and takes the
// largest messages that there are.
ServerOptions InProcessOptions() {
  ServerOptions options;
  options.log_level = "error";
  options.call.max_message_bytes = kMessageBytesMax;
  // Twice as much as one call may hold, more than the machine may have: what it
  // really holds is what the user asked for.
  options.load.max_bytes_in_flight = 4 * kMessageBytesMax;
  return options;
}

}  // namespace

absl::StatusOr<Connection> Connection::Open(const GlobalOptions& globals) {
  const ClientOptions options = {
      .timeout = absl::Seconds(globals.timeout_seconds),
      .credentials = nullptr};
  if (!globals.server.empty()) {
    absl::StatusOr<std::unique_ptr<Client>> client =
        Client::Connect(globals.server, options);
    if (client.ok()) return Connection(nullptr, *std::move(client));
    return absl::Status(client.status().code(),
                        absl::StrCat("--server: ", client.status().message()));
  }
  absl::StatusOr<std::unique_ptr<Server>> server =
      Server::Start(InProcessOptions());
  if (!server.ok()) return server.status();
  auto client =
      std::make_unique<Client>((*server)->InProcessChannel(), options);
  return Connection(*std::move(server), std::move(client));
}

Connection::Connection(std::unique_ptr<Server> server,
                       std::unique_ptr<Client> client)
    : server_(std::move(server)), client_(std::move(client)) {}

Connection::Connection(Connection&&) noexcept = default;

Connection::~Connection() = default;

std::shared_ptr<grpc::Channel> Connection::InProcessChannel() {
  return server_ == nullptr ? nullptr : server_->InProcessChannel();
}

ExitCode WithClient(const GlobalOptions& globals,
                    const std::function<ExitCode(Client&)>& command) {
  absl::StatusOr<Connection> connection = Connection::Open(globals);
  if (connection.ok()) return command(connection->client());
  if (absl::IsInvalidArgument(connection.status())) {
    return Fail(ExitCode::kUsage, connection.status());
  }
  return FailCall(connection.status());
}

}  // namespace halfstep::cli

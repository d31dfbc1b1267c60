#include "client/cli/connection.h"

#include <grpcpp/channel.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "client/cli/tls_diagnosis.h"
#include "client/credentials.h"
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

// `status` with the fields of CredentialFiles called what their flags are.
absl::Status WithFlags(const absl::Status& status) {
  return absl::Status(
      status.code(),
      absl::StrReplaceAll(status.message(), {{"tls_ca", "--tls-ca"},
                                             {"tls_cert", "--tls-cert"},
                                             {"tls_key", "--tls-key"},
                                             {"token_file", "--token-file"}}));
}

}  // namespace

absl::StatusOr<Connection> Connection::Open(const GlobalOptions& globals) {
  ClientOptions options;
  options.timeout = absl::Seconds(globals.timeout_seconds);
  options.server_name = globals.server_name;
  if (!globals.server.empty()) {
    auto credentials = MakeCredentials(globals.server, globals.credentials);
    if (!credentials.ok()) return WithFlags(credentials.status());
    options.credentials = *credentials;
    absl::StatusOr<std::unique_ptr<Client>> client =
        Client::Connect(globals.server, options);
    if (client.ok()) {
      ExplainFailuresWith([globals](const absl::Status& status) {
        return ExplainTls(status, globals);
      });
      return Connection(nullptr, *std::move(client), *std::move(credentials));
    }
    return absl::Status(client.status().code(),
                        absl::StrCat("--server: ", client.status().message()));
  }
  absl::StatusOr<std::unique_ptr<Server>> server =
      Server::Start(InProcessOptions());
  if (!server.ok()) return server.status();
  auto client =
      std::make_unique<Client>((*server)->InProcessChannel(), options);
  return Connection(*std::move(server), std::move(client), nullptr);
}

Connection::Connection(std::unique_ptr<Server> server,
                       std::unique_ptr<Client> client,
                       std::shared_ptr<grpc::ChannelCredentials> credentials)
    : server_(std::move(server)),
      client_(std::move(client)),
      credentials_(std::move(credentials)) {}

Connection::Connection(Connection&&) noexcept = default;

Connection::~Connection() = default;

std::shared_ptr<grpc::Channel> Connection::InProcessChannel() {
  return server_ == nullptr ? nullptr : server_->InProcessChannel();
}

ExitCode FailOpen(const absl::Status& status) {
  if (absl::IsInvalidArgument(status)) return Fail(ExitCode::kUsage, status);
  if (absl::IsFailedPrecondition(status)) return Fail(ExitCode::kFile, status);
  return FailCall(status);
}

ExitCode WithClient(const GlobalOptions& globals,
                    const std::function<ExitCode(Client&)>& command) {
  absl::StatusOr<Connection> connection = Connection::Open(globals);
  return connection.ok() ? command(connection->client())
                         : FailOpen(connection.status());
}

}  // namespace halfstep::cli

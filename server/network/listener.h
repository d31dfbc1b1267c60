// Takes connections and hands them to gRPC.
//
// gRPC's own listener dies for good when accept fails, as it does when file
// descriptors run out, and knows no limit to connections. This one keeps a
// descriptor in reserve, with which it turns away what it cannot keep, and goes
// on.
#ifndef HALFSTEP_SERVER_NETWORK_LISTENER_H_
#define HALFSTEP_SERVER_NETWORK_LISTENER_H_

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/network/connections.h"
#include "server/network/listening_socket.h"
#include "server/network/watchdog.h"
#include "server/options.h"

namespace grpc {
class ServerBuilder;
class ServerCredentials;
namespace experimental {
class ExternalConnectionAcceptor;
}  // namespace experimental
}  // namespace grpc

namespace halfstep {

class CallLog;

class Listener {
 public:
  // Listens at every address of `options`. UNAVAILABLE, naming the address, if
  // one cannot be had. `connections` and `log` must outlive the listener.
  static absl::StatusOr<std::unique_ptr<Listener>> Create(
      const ServerOptions& options, Connections& connections, CallLog& log);

  // Stop.
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // What the connections to an address of options.listen are greeted with.
  using CredentialsFor = std::function<std::shared_ptr<grpc::ServerCredentials>(
      const std::string& address)>;

  // Makes `builder` take the connections. Once, before it builds.
  void Register(const CredentialsFor& credentials,
                grpc::ServerBuilder& builder);

  // As many as options.listen, in the same order, with real ports.
  const std::vector<std::string>& addresses() const { return addresses_; }

  // Where the sockets can be reached.
  std::vector<WatchdogTarget> Targets() const;

  // Accepts from now on. Once, after the server has started.
  void Start();

  // Accepts no more, and frees the addresses. Connections stay as they are.
  void Stop();

 private:
  using Acceptor = grpc::experimental::ExternalConnectionAcceptor;

  Listener(Connections& connections, CallLog& log);

  void Run();
  // Accepts what has come to the socket `fd`, for `acceptor`.
  void Accept(int fd, Acceptor& acceptor);
  // Whether accept may be tried again at once.
  bool Recover(int error, int fd);
  void Report();

  Connections& connections_;
  CallLog& log_;
  std::vector<std::string> addresses_;
  std::vector<ListeningSocket> sockets_;
  std::vector<std::unique_ptr<Acceptor>> acceptors_;  // one per socket
  Descriptor stop_;                                   // an eventfd
  Descriptor reserve_;  // closed when nothing else can be opened
  // The thread's own.
  absl::Time no_accept_before_ = absl::InfinitePast();
  absl::Time last_report_ = absl::InfinitePast();
  uint64_t reported_ = 0;
  std::thread thread_;
};

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_NETWORK_LISTENER_H_

#include "server/network/listener.h"

#include <fcntl.h>
#include <grpcpp/server_builder.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "server/telemetry/call_log.h"

namespace halfstep {
namespace {

// Connections that are taken from one socket before the others have their turn.
constexpr int kAcceptsAtOnce = 64;

// How long to wait when the system has no descriptor or no memory: something
// must be freed first.
constexpr absl::Duration kPause = absl::Milliseconds(10);

// How often the log says that connections are turned away.
constexpr absl::Duration kReportInterval = absl::Seconds(10);

Descriptor OpenReserve() {
  return Descriptor(open("/dev/null", O_RDONLY | O_CLOEXEC));
}

}  // namespace

Listener::Listener(Connections& connections, CallLog& log)
    : connections_(connections),
      log_(log),
      stop_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      reserve_(OpenReserve()) {}

Listener::~Listener() { Stop(); }

absl::StatusOr<std::unique_ptr<Listener>> Listener::Create(
    const ServerOptions& options, Connections& connections, CallLog& log) {
  std::unique_ptr<Listener> listener(new Listener(connections, log));
  if (!listener->stop_.is_open() || !listener->reserve_.is_open()) {
    return absl::UnavailableError(absl::StrCat(
        "file descriptors: ", std::generic_category().message(errno),
        "; must be enough to start"));
  }
  for (const std::string& address : options.listen) {
    absl::StatusOr<ListeningSocket> socket = ListeningSocket::Listen(
        address, static_cast<mode_t>(options.connection.unix_socket_mode));
    if (!socket.ok()) return socket.status();
    listener->addresses_.push_back(socket->address());
    listener->sockets_.push_back(*std::move(socket));
  }
  return listener;
}

void Listener::Register(const CredentialsFor& credentials,
                        grpc::ServerBuilder& builder) {
  using Type = grpc::ServerBuilder::experimental_type::ExternalConnectionType;
  for (const ListeningSocket& socket : sockets_) {
    acceptors_.push_back(builder.experimental().AddExternalConnectionAcceptor(
        Type::FROM_FD, credentials(socket.address())));
  }
}

std::vector<WatchdogTarget> Listener::Targets() const {
  std::vector<WatchdogTarget> targets;
  for (const ListeningSocket& socket : sockets_) {
    for (const Descriptor& descriptor : socket.descriptors()) {
      targets.push_back(TargetOf(socket.address(), descriptor.get()));
    }
  }
  return targets;
}

void Listener::Start() {
  thread_ = std::thread([this] { Run(); });
}

void Listener::Stop() {
  if (thread_.joinable()) {
    eventfd_write(stop_.get(), 1);
    thread_.join();
  }
  sockets_.clear();
}

void Listener::Run() {
  std::vector<pollfd> watched = {{stop_.get(), POLLIN, 0}};
  std::vector<Acceptor*> acceptors = {nullptr};  // of descriptors
  for (size_t i = 0; i < sockets_.size(); ++i) {
    for (const Descriptor& descriptor : sockets_[i].descriptors()) {
      watched.push_back({descriptor.get(), POLLIN, 0});
      acceptors.push_back(acceptors_[i].get());
    }
  }
  absl::Time next_sweep = absl::Now();
  while (watched[0].revents == 0) {
    const absl::Time now = absl::Now();
    const bool is_pausing = now < no_accept_before_;
    next_sweep = std::min(next_sweep, now + connections_.SweepInterval());
    const absl::Time wake =
        is_pausing ? std::min(no_accept_before_, next_sweep) : next_sweep;
    const timespec timeout = absl::ToTimespec(
        std::clamp(wake - now, absl::ZeroDuration(), absl::Hours(1)));
    // While it pauses, clients have to wait.
    const nfds_t count = is_pausing ? 1 : watched.size();
    if (ppoll(watched.data(), count, &timeout, nullptr) > 0) {
      for (size_t i = 1; i < count; ++i) {
        if (watched[i].revents != 0) Accept(watched[i].fd, *acceptors[i]);
      }
    }
    if (absl::Now() >= next_sweep) {
      for (const std::string& line : connections_.Sweep()) log_.Note(line);
      next_sweep = absl::InfiniteFuture();
      Report();
    }
  }
}

void Listener::Accept(int fd, Acceptor& acceptor) {
  for (int i = 0; i < kAcceptsAtOnce; ++i) {
    sockaddr_storage peer{};
    socklen_t size = sizeof(peer);
    Descriptor accepted(accept4(fd, reinterpret_cast<sockaddr*>(&peer), &size,
                                SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (accepted.is_open()) {
      // One that finds no room is closed here.
      if (!connections_.Add(accepted.get(), peer)) continue;
      Acceptor::NewConnectionParameters connection;
      connection.fd = accepted.Release();
      acceptor.HandleNewConnection(&connection);
    } else if (!Recover(errno, fd)) {
      return;
    }
  }
}

bool Listener::Recover(int error, int fd) {
  switch (error) {
    case EAGAIN:
      return false;
    case EMFILE:
    case ENFILE:
      // Turns them away, so that no client waits for ever: with the descriptor
      // in reserve.
      reserve_.Reset();
      for (int i = 0; i < kAcceptsAtOnce; ++i) {
        const Descriptor unwanted(
            accept4(fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (!unwanted.is_open()) break;
        connections_.CountShed();
      }
      reserve_ = OpenReserve();
      no_accept_before_ = absl::Now() + kPause;
      return false;
    case ENOBUFS:
    case ENOMEM:
      no_accept_before_ = absl::Now() + kPause;
      return false;
    default:
      // Errors of the connection that came, such as ECONNABORTED, and of the
      // network that it came by: accept(2) says to go on.
      return error != EBADF && error != EINVAL && error != ENOTSOCK;
  }
}

void Listener::Report() {
  const uint64_t count = connections_.shed();
  const absl::Time now = absl::Now();
  if (count == reported_ || now - last_report_ < kReportInterval) return;
  log_.Note(absl::StrCat("turned away ", count - reported_,
                         " connections: ", connections_.count(), " are open"));
  reported_ = count;
  last_report_ = now;
}

}  // namespace halfstep

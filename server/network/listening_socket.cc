#include "server/network/listening_socket.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace halfstep {
namespace {

// Connections that are complete and wait to be accepted; the kernel caps it at
// net.core.somaxconn.
constexpr int kBacklog = 4096;

// A port that is free at one address of a name may be taken at another.
constexpr int kPortTries = 16;

using AddressList = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

absl::Status CannotBind(const std::string& address, absl::string_view reason) {
  return absl::UnavailableError(
      absl::StrCat(address, ": cannot be bound: ", reason,
                   "; must be an address of this machine that is free"));
}

absl::Status CannotBind(const std::string& address, int error) {
  return CannotBind(address, std::generic_category().message(error));
}

int SetInt(int fd, int level, int option, int value) {
  return setsockopt(fd, level, option, &value, sizeof(value));
}

uint16_t PortOf(int fd) {
  sockaddr_storage bound{};
  socklen_t size = sizeof(bound);
  getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size);
  return ntohs(bound.ss_family == AF_INET6
                   ? reinterpret_cast<sockaddr_in6*>(&bound)->sin6_port
                   : reinterpret_cast<sockaddr_in*>(&bound)->sin_port);
}

void SetPort(sockaddr* address, uint16_t port) {
  if (address->sa_family == AF_INET6) {
    reinterpret_cast<sockaddr_in6*>(address)->sin6_port = htons(port);
  } else {
    reinterpret_cast<sockaddr_in*>(address)->sin_port = htons(port);
  }
}

// Bound to `candidate` with `port` for its own, and listening. Otherwise
// `error` is the system's.
absl::StatusOr<Descriptor> BindOne(const addrinfo& candidate, uint16_t port,
                                   int& error) {
  Descriptor socket(::socket(candidate.ai_family,
                             SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_storage address{};
  std::memcpy(&address, candidate.ai_addr, candidate.ai_addrlen);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  SetPort(generic, port);
  // A server that starts anew must not wait for the last connections of the one
  // before. Never SO_REUSEPORT: two servers on one port would each get half of
  // the calls, unnoticed.
  if (!socket.is_open() ||
      SetInt(socket.get(), SOL_SOCKET, SO_REUSEADDR, 1) != 0 ||
      SetInt(socket.get(), IPPROTO_TCP, TCP_NODELAY, 1) != 0 ||
      (candidate.ai_family == AF_INET6 &&
       SetInt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, 0) != 0) ||
      bind(socket.get(), generic, candidate.ai_addrlen) != 0 ||
      listen(socket.get(), kBacklog) != 0) {
    error = errno;
    return absl::UnavailableError("");
  }
  return socket;
}

// /etc/hosts may name an address twice.
bool IsRepeated(const addrinfo* first, const addrinfo* candidate) {
  for (; first != candidate; first = first->ai_next) {
    if (first->ai_addrlen == candidate->ai_addrlen &&
        std::memcmp(first->ai_addr, candidate->ai_addr,
                    candidate->ai_addrlen) == 0) {
      return true;
    }
  }
  return false;
}

// A machine may lack one of the protocols, or one of a name's addresses.
bool IsNotOurs(int error) {
  return error == EAFNOSUPPORT || error == EADDRNOTAVAIL ||
         error == EPROTONOSUPPORT;
}

// Held while a socket file is looked at and replaced, so that of two servers
// that start together one finds the other's.
Descriptor LockFolder(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string folder =
      slash == std::string::npos ? "." : path.substr(0, slash + 1);
  Descriptor lock(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (lock.is_open()) flock(lock.get(), LOCK_EX);
  return lock;
}

// Whether `path` is a socket that nobody listens on any more.
bool IsStale(const std::string& path, const sockaddr_un& address) {
  struct stat file {};
  if (lstat(path.c_str(), &file) != 0 || !S_ISSOCK(file.st_mode)) return false;
  const Descriptor probe(
      socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  return probe.is_open() &&
         connect(probe.get(), reinterpret_cast<const sockaddr*>(&address),
                 sizeof(address)) != 0 &&
         errno == ECONNREFUSED;
}

}  // namespace

ListeningSocket::ListeningSocket(ListeningSocket&& other) noexcept
    : address_(std::move(other.address_)),
      is_unix_(other.is_unix_),
      descriptors_(std::move(other.descriptors_)),
      path_(std::exchange(other.path_, {})),
      device_(other.device_),
      inode_(other.inode_) {}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  if (this != &other) {
    Reset();
    fd_ = other.Release();
  }
  return *this;
}

void Descriptor::Reset() {
  if (const int fd = Release(); fd >= 0) close(fd);
}

int Descriptor::Release() { return std::exchange(fd_, -1); }

absl::StatusOr<ListeningSocket> ListeningSocket::Listen(
    const std::string& address, mode_t unix_mode) {
  return absl::StartsWith(address, "unix:") ? ListenUnix(address, unix_mode)
                                            : ListenTcp(address);
}

absl::StatusOr<ListeningSocket> ListeningSocket::ListenUnix(
    const std::string& address, mode_t mode) {
  absl::string_view name = absl::StripPrefix(address, "unix:");
  // gRPC's clients take unix:///absolute/path, too.
  if (absl::StartsWith(name, "///")) name.remove_prefix(2);
  const std::string path(name);
  sockaddr_un where{};
  where.sun_family = AF_UNIX;
  if (path.size() >= sizeof(where.sun_path)) {
    return CannotBind(address, ENAMETOOLONG);
  }
  std::memcpy(where.sun_path, path.data(), path.size());

  const Descriptor lock = LockFolder(path);
  if (IsStale(path, where)) unlink(path.c_str());
  Descriptor socket(
      ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  // The file never has more permissions than asked for: it is born with those
  // of the socket, less the umask.
  struct stat file {};
  if (!socket.is_open() || fchmod(socket.get(), mode) != 0 ||
      bind(socket.get(), reinterpret_cast<const sockaddr*>(&where),
           sizeof(where)) != 0) {
    return CannotBind(address, errno);
  }
  ListeningSocket result;
  result.address_ = address;
  result.is_unix_ = true;
  if (lstat(path.c_str(), &file) == 0) {
    result.path_ = path;
    result.device_ = file.st_dev;
    result.inode_ = file.st_ino;
  }
  if (chmod(path.c_str(), mode) != 0 || listen(socket.get(), kBacklog) != 0) {
    return CannotBind(address, errno);
  }
  result.descriptors_.push_back(std::move(socket));
  return result;
}

absl::StatusOr<ListeningSocket> ListeningSocket::ListenTcp(
    const std::string& address) {
  const size_t colon = address.rfind(':');
  std::string host = address.substr(0, colon);
  if (absl::StartsWith(host, "[") && absl::EndsWith(host, "]")) {
    host = host.substr(1, host.size() - 2);
  }
  const std::string service = address.substr(colon + 1);
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (const int error =
          getaddrinfo(host.c_str(), service.c_str(), &hints, &found);
      error != 0) {
    return CannotBind(address, gai_strerror(error));
  }
  const AddressList candidates(found, &freeaddrinfo);

  uint32_t port = 0;
  if (!absl::SimpleAtoi(service, &port)) return CannotBind(address, EINVAL);
  int error = 0;
  for (int tries = port == 0 ? kPortTries : 1; tries > 0; --tries) {
    std::vector<Descriptor> sockets;
    uint16_t bound = static_cast<uint16_t>(port);
    error = 0;
    for (const addrinfo* one = candidates.get(); one != nullptr;
         one = one->ai_next) {
      if (IsRepeated(candidates.get(), one)) continue;
      int fault = 0;
      absl::StatusOr<Descriptor> socket = BindOne(*one, bound, fault);
      if (socket.ok()) {
        bound = PortOf(socket->get());
        sockets.push_back(*std::move(socket));
      } else if (!IsNotOurs(fault) || error == 0) {
        error = fault;
      }
    }
    if (!sockets.empty() && (error == 0 || IsNotOurs(error))) {
      ListeningSocket result;
      result.address_ = absl::StrCat(address.substr(0, colon), ":", bound);
      result.descriptors_ = std::move(sockets);
      return result;
    }
    if (error != EADDRINUSE) break;
  }
  return CannotBind(address, error);
}

void ListeningSocket::Close() {
  if (const std::string path = std::exchange(path_, {}); !path.empty()) {
    const Descriptor lock = LockFolder(path);
    struct stat file {};
    if (lstat(path.c_str(), &file) == 0 && file.st_dev == device_ &&
        file.st_ino == inode_) {
      unlink(path.c_str());
    }
  }
  descriptors_.clear();
}

}  // namespace halfstep

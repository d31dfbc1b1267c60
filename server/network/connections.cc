#include "server/network/connections.h"

#include <arpa/inet.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>

#include "absl/strings/str_cat.h"
#include "server/network/listening_socket.h"

namespace halfstep {
namespace {

// What one connection may send beyond what its calls account for, which is
// little: pings, settings, health checks. At once, and in each second.
constexpr uint64_t kUnaccountedBytesMax = uint64_t{8} << 20;
constexpr double kUnaccountedBytesPerSecond = 16 << 10;

// For a moment it may be more: data of calls that have come, but not yet to us.
constexpr uint64_t kUnaccountedBytesMaxBriefly = uint64_t{16} << 20;
constexpr double kBrieflySeconds = 0.25;

// Frames, records of TLS and the prefixes of messages: as a share of what they
// carry, 1 / 64, and as much for each message that is short.
constexpr uint64_t kOverheadShare = 64;
constexpr uint64_t kMessageOverheadBytes = 256;
constexpr uint64_t kReplyBytesPerUpdateByte = 256;

// Calls that one client may cancel at once, and in each second from then on.
// gRPC keeps what a call needs for a moment after its reset.
constexpr double kCancelledMax = 2000;
constexpr double kCancelledPerSecond = 500;

// Calls of one connection that gRPC holds, at about 12 KB each, beyond those
// that its client may have open: they are over, and not yet cleared away.
constexpr uint64_t kUnclearedCallsMax = 500;

// Asked about once so many bytes have come that are neither messages nor
// ordinary headers of calls that are taken up; and for a while after that,
// since gRPC may not have parsed them yet.
constexpr int64_t kLookBytes = 16 << 10;
constexpr uint64_t kOrdinaryHeaderBytes = 512;
constexpr double kLookSeconds = 1;
// gRPC has mostly cleared away by then whatever had the name before.
constexpr double kNewSeconds = 1;
// In one sweep: about half a millisecond.
constexpr int kLooksPerSweep = 50;

constexpr absl::Duration kSweepIntervalMin = absl::Milliseconds(10);
constexpr absl::Duration kSweepIntervalPerConnection = absl::Microseconds(200);
constexpr absl::Duration kSweepIntervalMax = absl::Milliseconds(100);
// How often all descriptors are looked at because a newcomer finds no room.
constexpr absl::Duration kLookInterval = absl::Milliseconds(10);

constexpr absl::Duration kSentInterval = absl::Milliseconds(2);

std::optional<ino_t> InodeOf(int fd) {
  struct stat file {};
  if (fstat(fd, &file) != 0 || !S_ISSOCK(file.st_mode)) return std::nullopt;
  return file.st_ino;
}

// TCP_ESTABLISHED, which only <netinet/tcp.h> names: it clashes with what is
// included here.
constexpr uint8_t kEstablished = 1;

std::optional<tcp_info> TcpInfoOf(int fd) {
  tcp_info info{};
  socklen_t size = sizeof(info);
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 ||
      size < offsetof(tcp_info, tcpi_bytes_received) +
                 sizeof(info.tcpi_bytes_received)) {
    return std::nullopt;
  }
  return info;
}

// A peer's host, and its name as gRPC writes it; both empty for unix sockets.
struct PeerName {
  std::string host;
  std::string name;
};

PeerName NameOf(const sockaddr_storage& peer) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (peer.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(peer);
    inet_ntop(AF_INET, &v4.sin_addr, text.data(), text.size());
    return {text.data(),
            absl::StrCat("ipv4:", text.data(), ":", ntohs(v4.sin_port))};
  }
  if (peer.ss_family != AF_INET6) return {};
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(peer);
  if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
    inet_ntop(AF_INET, &v6.sin6_addr.s6_addr[12], text.data(), text.size());
    return {text.data(),
            absl::StrCat("ipv4:", text.data(), ":", ntohs(v6.sin6_port))};
  }
  inet_ntop(AF_INET6, &v6.sin6_addr, text.data(), text.size());
  const std::string scope =
      v6.sin6_scope_id == 0 ? "" : absl::StrCat("%25", v6.sin6_scope_id);
  return {text.data(), absl::StrCat("ipv6:%5B", text.data(), scope,
                                    "%5D:", ntohs(v6.sin6_port))};
}

// Ends the connection that `fd` was, if it still is: its number may lead to
// another one at any moment, a copy of it cannot. What it has sent and gRPC has
// not read is thrown away, since gRPC would go on to parse it; and closing it
// resets it, so that the other end does not wait to send more.
bool ShutDown(int fd, ino_t inode) {
  const Descriptor copy(dup(fd));
  if (!copy.is_open() || InodeOf(copy.get()) != inode ||
      shutdown(copy.get(), SHUT_RDWR) != 0) {
    return false;
  }
  const linger reset{1, 0};
  setsockopt(copy.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
  // Nothing comes any more: at most what its buffer holds.
  std::array<char, 64 << 10> unread{};
  while (recv(copy.get(), unread.data(), unread.size(), MSG_DONTWAIT) > 0) {
  }
  return true;
}

}  // namespace

uint64_t Connection::BeginCall() {
  ++begun_calls_;
  return received_bytes_;
}

void Connection::EndCall(bool is_taken, uint64_t begin, uint64_t bytes_out) {
  message_bytes_ += bytes_out / kReplyBytesPerUpdateByte;
  if (!is_taken) Forgive(kWindowBytesMax, begin);
  ++ended_calls_;
}

uint64_t Connection::BeginRead(uint64_t bytes_max) {
  readable_bytes_ += bytes_max;
  return received_bytes_;
}

void Connection::EndRead(uint64_t bytes_max, uint64_t bytes) {
  // In this order, so that the sweep never sees less than there is.
  message_bytes_ += bytes + kMessageOverheadBytes;
  readable_bytes_ -= bytes_max;
}

void Connection::AbandonRead(uint64_t bytes_max, uint64_t begin) {
  Forgive(bytes_max, begin);
  readable_bytes_ -= bytes_max;
}

void Connection::Forgive(uint64_t bytes_max, uint64_t begin) {
  uint64_t first = abandoned_begin_;
  while (begin < first &&
         !abandoned_begin_.compare_exchange_weak(first, begin)) {
  }
  abandoned_bytes_max_ += bytes_max;
}

bool Connections::Add(int fd, const sockaddr_storage& peer) {
  const std::optional<ino_t> inode = InodeOf(fd);
  if (!inode.has_value()) return false;
  PeerName peer_name = NameOf(peer);
  if (peer_name.name.empty()) peer_name.name = absl::StrCat("unix:", fd);
  auto connection = std::make_shared<Connection>(fd, *inode, peer_name.name,
                                                 peer_name.host, limits_);

  const absl::MutexLock lock(&mutex_);
  if (!HasRoomFor(peer_name.host)) {
    const absl::Time now = absl::Now();
    if (now - last_look_ >= kLookInterval) {
      last_look_ = now;
      ForgetClosed();
    }
    if (!HasRoomFor(peer_name.host)) {
      ++shed_;
      return false;
    }
  }
  // Before it there was nothing to sweep.
  if (open_.empty()) last_sweep_ = absl::Now();
  std::shared_ptr<Connection>& entry = open_[peer_name.name];
  if (entry != nullptr) {
    if (entry->IsEstablished()) {
      ++shed_;
      return false;
    }
    Forget(*entry);
  }
  entry = std::move(connection);
  if (!peer_name.host.empty()) ++by_host_[peer_name.host];
  return true;
}

std::shared_ptr<Connection> Connections::Find(absl::string_view peer) const {
  const absl::MutexLock lock(&mutex_);
  const auto found = open_.find(peer);
  return found == open_.end() ? nullptr : found->second;
}

bool Connections::HasRoomFor(const std::string& host) const {
  if (open_.size() >= limits_.max_connections) return false;
  const auto found = by_host_.find(host);
  return found == by_host_.end() ||
         found->second < limits_.max_connections_per_host;
}

void Connections::Forget(const Connection& connection) {
  const auto found = by_host_.find(connection.host_);
  if (found != by_host_.end() && --found->second == 0) by_host_.erase(found);
}

void Connections::ForgetClosed() {
  absl::erase_if(open_, [this](const auto& entry) {
    mutex_.AssertHeld();
    const Connection& connection = *entry.second;
    if (InodeOf(connection.fd_) == connection.inode_) return false;
    Forget(connection);
    return true;
  });
}

std::vector<std::string> Connections::Sweep() {
  const absl::Time now = absl::Now();
  double seconds = 0;
  std::vector<std::pair<std::string, std::shared_ptr<Connection>>> open;
  {
    const absl::MutexLock lock(&mutex_);
    seconds = absl::ToDoubleSeconds(now - last_sweep_);
    last_sweep_ = now;
    ForgetClosed();
    open.assign(open_.begin(), open_.end());
  }
  std::vector<std::string> ended;
  int looks = kLooksPerSweep;
  for (size_t i = 0; i < open.size(); ++i) {
    const auto& [name, connection] = open[(next_look_ + i) % open.size()];
    const std::string fault = connection->Fault(seconds, begun_, looks);
    if (fault.empty() || connection->is_ended_ ||
        !ShutDown(connection->fd_, connection->inode_)) {
      continue;
    }
    connection->is_ended_ = true;  // gRPC takes a moment to close it
    ++ended_;
    ended.push_back(
        absl::StrCat("closed the connection of ", name, ": ", fault));
  }
  next_look_ += kLooksPerSweep;
  return ended;
}

bool Connection::IsEstablished() const {
  const std::optional<tcp_info> info = TcpInfoOf(fd_);
  return info.has_value() && info->tcpi_state == kEstablished &&
         InodeOf(fd_) == inode_;
}

std::string Connection::Fault(double seconds, const BegunOn& begun_on,
                              int& looks) {
  cancel_debt_ = std::max(0.0, cancel_debt_ - seconds * kCancelledPerSecond) +
                 static_cast<double>(cancelled_calls_.exchange(0));
  if (cancel_debt_ > kCancelledMax) {
    return "it cancels calls faster than they can be cleared away";
  }
  if (host_.empty()) return "";
  // Read before the bytes, which may be those of a message that ends just now.
  const uint64_t readable = readable_bytes_ + open_calls() * kWindowBytesMax;
  const std::optional<tcp_info> info = TcpInfoOf(fd_);
  if (!info.has_value()) return "";
  const uint64_t received = info->tcpi_bytes_received;
  received_bytes_ = received;
  if (begun_on != nullptr && IsPilingUp(seconds, begun_on, looks)) {
    return "it begins calls faster than they can be cleared away";
  }
  // What was sent for messages that nobody waits for any more: at most all that
  // came since.
  const uint64_t begin = abandoned_begin_.exchange(UINT64_MAX);
  const uint64_t most = abandoned_bytes_max_.exchange(0);
  if (begin < received) forgiven_bytes_ += std::min(most, received - begin);
  uint64_t accounted = accounted_bytes();
  if (received > accounted) {
    const uint64_t forgiven =
        std::min(received - accounted,
                 static_cast<uint64_t>(seconds * kUnaccountedBytesPerSecond));
    forgiven_bytes_ += forgiven;
    accounted += forgiven;
  }
  uint64_t allowed = accounted + readable;
  allowed += allowed / kOverheadShare + kUnaccountedBytesMax;
  excess_seconds_ = received > allowed ? excess_seconds_ + seconds : 0;
  // While a message is read there is room for most that could come besides.
  if (excess_seconds_ == 0 ||
      (readable == 0 && excess_seconds_ < kBrieflySeconds &&
       received - allowed <= kUnaccountedBytesMaxBriefly)) {
    return "";
  }
  return absl::StrCat(received, " bytes received, of which calls account for ",
                      accounted, ", and those that are open for ", readable,
                      " more at most");
}

bool Connection::IsPilingUp(double seconds, const BegunOn& begun_on,
                            int& looks) {
  // Less than nothing where ordinary headers are shorter than that.
  const auto unexplained = static_cast<int64_t>(
      received_bytes_ - message_bytes_ - begun_calls_ * kOrdinaryHeaderBytes);
  unexplained_floor_ = std::min(unexplained_floor_, unexplained);
  if (unexplained - unexplained_floor_ >= kLookBytes) {
    unexplained_floor_ = unexplained;
    look_seconds_ = kLookSeconds;
  }
  if (look_seconds_ <= 0 || looks <= 0) return false;
  look_seconds_ -= seconds;
  --looks;
  const bool is_new = looked_seconds_ < kNewSeconds;
  looked_seconds_ += seconds;
  const std::optional<uint64_t> held = begun_on(name_, is_new);
  if (!held.has_value()) {
    looked_seconds_ = 0;
    return false;
  }
  return *held > calls_max_ + kUnclearedCallsMax;
}

bool Connections::AwaitSent(absl::Time deadline) const {
  const auto is_sending = [this] {
    const absl::MutexLock lock(&mutex_);
    return std::any_of(open_.begin(), open_.end(), [](const auto& entry) {
      int unsent = 0;
      return InodeOf(entry.second->fd_) == entry.second->inode_ &&
             ioctl(entry.second->fd_, SIOCOUTQ, &unsent) == 0 && unsent > 0;
    });
  };
  while (is_sending()) {
    if (absl::Now() >= deadline) return false;
    absl::SleepFor(kSentInterval);
  }
  return true;
}

absl::Duration Connections::SweepInterval() const {
  const size_t open = count();
  if (open == 0) return absl::InfiniteDuration();
  return std::clamp(open * kSweepIntervalPerConnection, kSweepIntervalMin,
                    kSweepIntervalMax);
}

size_t Connections::count() const {
  const absl::MutexLock lock(&mutex_);
  return open_.size();
}

}  // namespace halfstep

#include "server/network/admin.h"

#include <microhttpd.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <list>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace halfstep {
namespace {

// One more, and the oldest is closed.
constexpr size_t kConnectionsMax = 64;
// What one connection may take of memory: its headers, above all.
constexpr size_t kConnectionBytesMax = size_t{16} << 10;
// From its first byte to its last. Each connection has one request.
constexpr absl::Duration kConnectionTime = absl::Seconds(10);
// How often connections that take too long are looked for.
constexpr int kLookMilliseconds = 500;
// Until the next attempt when the process has no descriptor or memory left.
constexpr absl::Duration kShortagePause = absl::Milliseconds(50);

constexpr char kPlain[] = "text/plain; charset=utf-8";
constexpr char kExposition[] = "text/plain; version=0.0.4; charset=utf-8";

struct Page {
  unsigned int code;
  std::string body;
  const char* type = kPlain;
};

Page StatusPage(const absl::Status& status) {
  if (status.ok()) return {MHD_HTTP_OK, "ok\n"};
  return {MHD_HTTP_SERVICE_UNAVAILABLE, absl::StrCat(status.message(), "\n")};
}

Page PageAt(absl::string_view path, const AdminPages& pages) {
  if (path == "/metrics") return {MHD_HTTP_OK, pages.metrics(), kExposition};
  if (path == "/livez") return StatusPage(pages.alive());
  if (path == "/readyz") return StatusPage(pages.ready());
  if (path == "/") return {MHD_HTTP_OK, "/metrics\n/livez\n/readyz\n"};
  return {MHD_HTTP_NOT_FOUND,
          "no such page; there are /metrics, /livez and /readyz\n"};
}

MHD_Result Send(MHD_Connection* connection, const Page& page) {
  // It makes a copy, and does not write to the one it takes.
  MHD_Response* const response = MHD_create_response_from_buffer(
      page.body.size(), const_cast<char*>(page.body.data()),
      MHD_RESPMEM_MUST_COPY);
  if (response == nullptr) return MHD_NO;
  MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, page.type);
  MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
  MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
  if (page.code == MHD_HTTP_METHOD_NOT_ALLOWED) {
    MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
  }
  const MHD_Result queued = MHD_queue_response(connection, page.code, response);
  MHD_destroy_response(response);
  return queued;
}

// Called when the headers of a request are there.
MHD_Result Answer(void* pages, MHD_Connection* connection, const char* path,
                  const char* method, const char* /*version*/,
                  const char* /*upload*/, size_t* /*upload_size*/,
                  void** /*request*/) {
  const absl::string_view verb(method);
  if (verb != MHD_HTTP_METHOD_GET && verb != MHD_HTTP_METHOD_HEAD) {
    return Send(connection,
                {MHD_HTTP_METHOD_NOT_ALLOWED, "must be GET or HEAD\n"});
  }
  // An exception must not get into a library that is written in C.
  try {
    return Send(connection,
                PageAt(path, *static_cast<const AdminPages*>(pages)));
  } catch (const std::exception&) {
    return MHD_NO;
  }
}

}  // namespace

// Those that are open, oldest first. Used by one thread.
class Admin::Connections {
 public:
  size_t count() const { return open_.size(); }

  // How long the oldest may still last.
  absl::Duration time_left() const {
    if (open_.empty()) return absl::InfiniteDuration();
    return open_.front().since + kConnectionTime - absl::Now();
  }

  void Add(int fd) { open_.push_back({fd, absl::Now()}); }

  void Forget(int fd) {
    open_.remove_if([fd](const Entry& entry) { return entry.fd == fd; });
  }

  // Ends the oldest. Its socket is only shut down: the library closes it, and
  // says so.
  void EndOldest() {
    shutdown(open_.front().fd, SHUT_RDWR);
    open_.pop_front();
  }

  // Called by the library when a connection has begun or is over.
  static void Notify(void* self, MHD_Connection* connection, void** /*context*/,
                     MHD_ConnectionNotificationCode code) {
    if (code != MHD_CONNECTION_NOTIFY_CLOSED) return;
    const MHD_ConnectionInfo* const info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (info == nullptr) return;
    static_cast<Connections*>(self)->Forget(info->connect_fd);
  }

 private:
  struct Entry {
    int fd;
    absl::Time since;
  };
  std::list<Entry> open_;
};

absl::StatusOr<std::unique_ptr<Admin>> Admin::Start(const std::string& address,
                                                    mode_t unix_mode,
                                                    AdminPages pages) {
  absl::StatusOr<ListeningSocket> socket =
      ListeningSocket::Listen(address, unix_mode);
  if (!socket.ok()) return socket.status();
  std::unique_ptr<Admin> admin(new Admin(*std::move(socket), std::move(pages)));
  if (absl::Status begun = admin->Begin(); !begun.ok()) return begun;
  return admin;
}

Admin::Admin(ListeningSocket socket, AdminPages pages)
    : socket_(std::move(socket)),
      pages_(std::move(pages)),
      stop_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      connections_(std::make_unique<Connections>()) {}

absl::Status Admin::Begin() {
  // No thread and no listening of the library's own: Run does both, since it
  // alone knows when to stop and which connection is the oldest.
  const auto timeout =
      static_cast<unsigned int>(absl::ToInt64Seconds(kConnectionTime));
  daemon_ = MHD_start_daemon(
      MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET, 0, nullptr, nullptr, &Answer,
      const_cast<AdminPages*>(&pages_), MHD_OPTION_CONNECTION_LIMIT,
      static_cast<unsigned int>(2 * kConnectionsMax),
      MHD_OPTION_CONNECTION_MEMORY_LIMIT, kConnectionBytesMax,
      MHD_OPTION_CONNECTION_TIMEOUT, timeout, MHD_OPTION_NOTIFY_CONNECTION,
      &Connections::Notify, connections_.get(), MHD_OPTION_END);
  if (daemon_ == nullptr || !stop_.is_open()) {
    return absl::UnavailableError(
        absl::StrCat(address(),
                     ": the admin port did not start; must have descriptors "
                     "and memory"));
  }
  thread_ = std::thread([this] { Run(); });
  return absl::OkStatus();
}

Admin::~Admin() {
  if (thread_.joinable()) {
    const uint64_t one = 1;
    // It cannot fail: the counter is far from its end.
    if (write(stop_.get(), &one, sizeof(one)) != sizeof(one)) std::abort();
    thread_.join();
  }
  if (daemon_ != nullptr) MHD_stop_daemon(daemon_);
}

void Admin::Run() {
  const int epoll =
      MHD_get_daemon_info(daemon_, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
  std::vector<pollfd> waited = {{stop_.get(), POLLIN, 0}, {epoll, POLLIN, 0}};
  for (const Descriptor& listening : socket_.descriptors()) {
    waited.push_back({listening.get(), POLLIN, 0});
  }
  while (true) {
    int timeout = connections_->count() == 0 ? -1 : kLookMilliseconds;
    MHD_UNSIGNED_LONG_LONG wanted = 0;
    if (MHD_get_timeout(daemon_, &wanted) == MHD_YES) {
      timeout = static_cast<int>(
          std::min<uint64_t>(wanted, static_cast<uint64_t>(kLookMilliseconds)));
    }
    poll(waited.data(), waited.size(), timeout);
    if ((waited[0].revents & POLLIN) != 0) return;
    for (size_t i = 2; i < waited.size(); ++i) {
      if ((waited[i].revents & POLLIN) != 0) Accept(waited[i].fd);
    }
    while (connections_->time_left() <= absl::ZeroDuration()) {
      connections_->EndOldest();
    }
    MHD_run(daemon_);
  }
}

void Admin::Accept(int listening) {
  // At most as many at a time as may be open, so that these are served between.
  for (size_t taken = 0; taken < kConnectionsMax; ++taken) {
    sockaddr_storage peer{};
    socklen_t size = sizeof(peer);
    auto* const address = reinterpret_cast<sockaddr*>(&peer);
    const int fd =
        accept4(listening, address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      // Until there are descriptors again, this would be tried without a pause.
      const bool is_short = errno == EMFILE || errno == ENFILE ||
                            errno == ENOBUFS || errno == ENOMEM;
      if (is_short) absl::SleepFor(kShortagePause);
      return;
    }
    if (connections_->count() >= kConnectionsMax) connections_->EndOldest();
    connections_->Add(fd);
    // The descriptor is the library's from here on, also if it fails.
    if (MHD_add_connection(daemon_, fd, address, size) != MHD_YES) {
      connections_->Forget(fd);
    }
  }
}

}  // namespace halfstep

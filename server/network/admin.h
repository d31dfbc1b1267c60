// The HTTP port for those who run the server: /metrics, /livez and /readyz.
//
// docs/adr/0005-admin-port.md says why it is a thread of its own, and how slow
// and numerous clients are kept from hurting it.
#ifndef HALFSTEP_SERVER_NETWORK_ADMIN_H_
#define HALFSTEP_SERVER_NETWORK_ADMIN_H_

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/network/listening_socket.h"

struct MHD_Daemon;

namespace halfstep {

// What the pages tell. Called on the port's own thread, one at a time.
struct AdminPages {
  // In Prometheus' text format 0.0.4.
  std::function<std::string()> metrics;
  // OK, or why not: a server that is not alive should be started again, one
  // that is not ready should get no calls.
  std::function<absl::Status()> alive;
  std::function<absl::Status()> ready;
};

class Admin {
 public:
  // Serves at `address`, HOST:PORT or unix:PATH, until it is destroyed.
  // UNAVAILABLE, naming the address, if it cannot be had.
  static absl::StatusOr<std::unique_ptr<Admin>> Start(
      const std::string& address, mode_t unix_mode, AdminPages pages);

  ~Admin();
  Admin(const Admin&) = delete;
  Admin& operator=(const Admin&) = delete;

  // With the real port.
  const std::string& address() const { return socket_.address(); }

 private:
  class Connections;

  Admin(ListeningSocket socket, AdminPages pages);
  absl::Status Begin();
  void Run();
  void Accept(int listening);

  ListeningSocket socket_;
  const AdminPages pages_;
  Descriptor stop_;  // an eventfd
  const std::unique_ptr<Connections> connections_;
  MHD_Daemon* daemon_ = nullptr;
  std::thread thread_;
};

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_NETWORK_ADMIN_H_

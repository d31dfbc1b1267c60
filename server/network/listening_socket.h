// One address that clients connect to, and the sockets behind it.
#ifndef HALFSTEP_SERVER_NETWORK_LISTENING_SOCKET_H_
#define HALFSTEP_SERVER_NETWORK_LISTENING_SOCKET_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace halfstep {

// A file descriptor that is closed with its owner. Moves, but does not copy.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(other.Release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept;
  ~Descriptor() { Reset(); }

  int get() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }
  void Reset();
  // Whose it is from now on is the caller's business.
  int Release();

 private:
  int fd_ = -1;
};

// A name may have several addresses, so there may be several sockets.
class ListeningSocket {
 public:
  // Listens at `address`: HOST:PORT or unix:PATH. HOST is a name or a number,
  // IPv6 in brackets; [::] takes IPv4, too. Port 0 picks one, the same for all
  // addresses of a name. A socket file that nobody listens on is replaced.
  // `unix_mode`: permissions of a socket file.
  //
  // UNAVAILABLE, naming the address and the reason, if it cannot be had.
  static absl::StatusOr<ListeningSocket> Listen(const std::string& address,
                                                mode_t unix_mode);

  ListeningSocket(ListeningSocket&& other) noexcept;
  ListeningSocket& operator=(ListeningSocket&& other) = delete;
  // Close.
  ~ListeningSocket() { Close(); }

  // As the address was given, with the real port.
  const std::string& address() const { return address_; }
  bool is_unix() const { return is_unix_; }
  // Not blocking. What they accept sends without delay (TCP_NODELAY).
  const std::vector<Descriptor>& descriptors() const { return descriptors_; }

  // Listens no more, and removes the socket file if it is still ours.
  void Close();

 private:
  ListeningSocket() = default;

  static absl::StatusOr<ListeningSocket> ListenUnix(const std::string& address,
                                                    mode_t mode);
  static absl::StatusOr<ListeningSocket> ListenTcp(const std::string& address);

  std::string address_;
  bool is_unix_ = false;
  std::vector<Descriptor> descriptors_;
  // Of a socket file: where it is, and which file that was.
  std::string path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_NETWORK_LISTENING_SOCKET_H_

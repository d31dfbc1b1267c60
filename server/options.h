// Every setting and every limit of a server, with its default.
//
// docs/operations.md explains them; GetServerInfo publishes the limits.
#ifndef HALFSTEP_SERVER_OPTIONS_H_
#define HALFSTEP_SERVER_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace halfstep {

// Room that a message has for everything but its payload when the payload is as
// large as it may be.
inline constexpr uint64_t kFieldBytesAllowance = uint64_t{64} << 10;

// What one call may ask for. A call over one of these is RESOURCE_EXHAUSTED
// without RetryInfo: it never succeeds on this server.
struct CallLimits {
  // Bytes of the payload of a request or a reply.
  uint64_t max_message_bytes = uint64_t{256} << 20;
  // Bytes that a stream may hold back until its tensor is whole.
  uint64_t max_buffered_bytes = uint64_t{256} << 20;
  // Pairs of scale and zero point per tensor.
  uint64_t max_parameter_pairs = 4'194'304;
  // Elements given as numbers.
  uint64_t max_values = 65'536;
  // Indices of a calibration axis.
  uint64_t max_calibration_summaries = 4'096;

  // Bytes of the longest request: a payload and its fields.
  uint64_t request_bytes_max() const {
    return max_message_bytes + kFieldBytesAllowance;
  }
};

// What all calls together may hold. A call past one of these is
// RESOURCE_EXHAUSTED with RetryInfo: it may succeed later.
struct LoadLimits {
  // Bytes of requests, replies and parameters held for calls in flight. 0: half
  // of the memory that the machine or its container has.
  uint64_t max_bytes_in_flight = 0;
  // Calls that wait for their turn to be read.
  size_t max_waiting_calls = 1'024;
  // Calls that are read and wait for a thread.
  size_t max_queued_calls = 1'024;
  // How long a client may take to send a message that its call waits for, or to
  // take one: until then the call holds a ticket. Infinite: for ever.
  absl::Duration stall_timeout = absl::Seconds(60);
};

// Who may reach the server, and how. docs/security.md explains it.
struct SecurityOptions {
  // PEM files; empty: none. A certificate with its key means TLS on every
  // address but UNIX sockets; a client CA, that clients need a certificate.
  std::string tls_cert;
  std::string tls_key;
  std::string tls_client_ca;
  // Bearer tokens and what they permit (server/security/token_table.h); empty:
  // whoever reaches the server may call everything.
  std::string token_file;
  // Serve other machines without TLS.
  bool allow_plaintext = false;
  // on, off, or auto: on unless there are tokens or this is production.
  std::string reflection = "auto";
  // Refuse what is for trying out: reflection, plaintext and unknown callers
  // from other machines.
  bool production = false;
  // How often the files above are looked at; infinite: on SIGHUP only.
  absl::Duration reload_interval = absl::Seconds(1);
};

// What one client may do with connections, whatever it calls.
struct ConnectionLimits {
  // Connections at the same time; one too many is closed at once. 0: as many as
  // the process may have descriptors, less some for itself, and at most 4,096.
  size_t max_connections = 0;
  // Of them from one host. 0: three quarters, so that no host takes them all.
  size_t max_connections_per_host = 0;
  // Calls at the same time on one connection; a client lets further ones wait.
  uint32_t max_streams_per_connection = 128;
  // Bytes of a call's metadata, sizes of names and values and 32 for each pair.
  uint32_t max_metadata_bytes = uint32_t{16} << 10;
  // How long a client may take from the first byte to its HTTP/2 settings, TLS
  // included.
  absl::Duration handshake_timeout = absl::Seconds(20);
  // How long a connection may be without a call, and how long it may exist,
  // give or take a tenth; then the client is told to open another. Calls that
  // are in flight at its end have the grace to finish. Infinite: for ever.
  absl::Duration max_connection_idle = absl::Minutes(30);
  absl::Duration max_connection_age = absl::InfiniteDuration();
  absl::Duration max_connection_age_grace = absl::Minutes(10);
  // A connection on which nothing came for this long is asked whether it is
  // still there, and closed if no answer comes in time.
  absl::Duration keepalive_time = absl::Minutes(1);
  absl::Duration keepalive_timeout = absl::Seconds(20);
  // Permissions of a unix socket: owner and group may connect.
  uint32_t unix_socket_mode = 0660;
};

struct ServerOptions {
  // HOST:PORT (port 0 picks one) or unix:PATH.
  std::vector<std::string> listen;
  // Threads that compute; 0 means as many as the machine or its container has.
  int threads = 0;
  // Threads that read and write, and compute what is short; 0 means one for two
  // that compute.
  int io_threads = 0;
  CallLimits call;
  LoadLimits load;
  ConnectionLimits connection;
  SecurityOptions security;
  // How long new calls are still taken once the server is told to stop: whoever
  // balances load needs time to see NOT_SERVING.
  absl::Duration drain_delay = absl::ZeroDuration();
  // How long calls in flight may take to finish from then on.
  absl::Duration drain_timeout = absl::Seconds(10);
  // How often the server connects to its own addresses. Health is NOT_SERVING
  // while it cannot. Infinite: never.
  absl::Duration watchdog_interval = absl::Seconds(5);
  // Where metrics and health are served over HTTP: HOST:PORT or unix:PATH; off;
  // or auto: kAdminAddress, and nowhere if that is taken.
  std::string admin_listen = "off";
  // off, error, warn, info (one line per call) or debug.
  std::string log_level = "info";
  // text (for people), json (one object per line), or auto: json in production.
  std::string log_format = "auto";
};

inline constexpr char kAdminAddress[] = "127.0.0.1:50052";

// The largest value of max_message_bytes: gRPC counts a message's bytes, and
// protobuf a field's, in an int.
inline constexpr uint64_t kMessageBytesMax = (uint64_t{1} << 31) - (1 << 20);

// What a client may send of a call that nobody reads yet: a window of HTTP/2.
inline constexpr uint64_t kWindowBytesMax = uint64_t{64} << 10;

// `options` with nothing left to choose. INVALID_ARGUMENT, naming the flag, if
// they contradict themselves.
absl::StatusOr<ServerOptions> Resolve(ServerOptions options);

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_OPTIONS_H_

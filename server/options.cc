#include "server/options.h"

#include <algorithm>
#include <array>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/field_error.h"
#include "server/network/descriptor_limit.h"
#include "server/security/security.h"
#include "server/settings/container_limits.h"

namespace halfstep {
namespace {

constexpr int kThreadsMax = 1024;
constexpr uint64_t kMessageBytesMin = 1024;
constexpr absl::Duration kDrainTimeoutMax = absl::Hours(24);
constexpr uint64_t kBytesMax = uint64_t{1} << 62;
constexpr uint64_t kPairsMax = uint64_t{1} << 31;
constexpr uint64_t kCallsMax = uint64_t{1} << 20;

bool IsAddress(absl::string_view address) {
  if (absl::StartsWith(address, "unix:")) return address.size() > 5;
  const size_t colon = address.rfind(':');
  if (colon == absl::string_view::npos || colon == 0) return false;
  const absl::string_view digits = address.substr(colon + 1);
  uint32_t port = 0;
  return absl::SimpleAtoi(digits, &port) && port <= 65535;
}

absl::Status CheckRange(absl::string_view flag, uint64_t value, uint64_t min,
                        uint64_t max) {
  if (value >= min && value <= max) return absl::OkStatus();
  return FieldError(flag,
                    absl::StrCat(value, "; must be in [", min, ", ", max, "]"));
}

// More cost memory, about 40 KiB each, before they have called anything.
constexpr size_t kConnectionsDefault = 4096;

absl::Status CheckTime(absl::string_view flag, absl::Duration time,
                       absl::Duration min, absl::Duration max) {
  if (time >= min && time <= max) return absl::OkStatus();
  return FieldError(flag,
                    absl::StrCat(absl::FormatDuration(time), "; must be in [",
                                 absl::FormatDuration(min), ", ",
                                 absl::FormatDuration(max), "]"));
}

absl::Status ResolveConnection(ConnectionLimits& limits) {
  constexpr absl::Duration kForEver = absl::InfiniteDuration();
  constexpr absl::Duration kShort = absl::Milliseconds(100);
  const size_t most = ConnectionsWithin(DescriptorLimit());
  if (limits.max_connections == 0) {
    limits.max_connections = std::min(most, kConnectionsDefault);
  }
  if (limits.max_connections_per_host == 0) {
    limits.max_connections_per_host =
        std::max<size_t>(1, limits.max_connections * 3 / 4);
  }
  for (const absl::Status& checked : {
           CheckRange("--max-connections", limits.max_connections, 1, most),
           CheckRange("--max-connections-per-host",
                      limits.max_connections_per_host, 1,
                      limits.max_connections),
           CheckRange("--max-streams-per-connection",
                      limits.max_streams_per_connection, 1, 1 << 20),
           CheckRange("--max-metadata-bytes", limits.max_metadata_bytes, 1024,
                      1 << 20),
           CheckRange("--unix-socket-mode", limits.unix_socket_mode, 0, 0777),
           CheckTime("--handshake-timeout", limits.handshake_timeout, kShort,
                     absl::Minutes(10)),
           CheckTime("--max-connection-idle", limits.max_connection_idle,
                     absl::Seconds(1), kForEver),
           CheckTime("--max-connection-age", limits.max_connection_age,
                     absl::Seconds(1), kForEver),
           CheckTime("--max-connection-age-grace",
                     limits.max_connection_age_grace, kShort, kForEver),
           CheckTime("--keepalive-time", limits.keepalive_time,
                     absl::Seconds(1), kForEver),
           CheckTime("--keepalive-timeout", limits.keepalive_timeout, kShort,
                     absl::Minutes(10)),
       }) {
    if (!checked.ok()) return checked;
  }
  return absl::OkStatus();
}

absl::Status CheckCallLimits(const CallLimits& limits) {
  for (const absl::Status& checked : {
           CheckRange("--max-message-bytes", limits.max_message_bytes,
                      kMessageBytesMin, kMessageBytesMax),
           CheckRange("--max-buffered-bytes", limits.max_buffered_bytes, 0,
                      kBytesMax),
           CheckRange("--max-parameter-pairs", limits.max_parameter_pairs, 1,
                      kPairsMax),
           // Numbers are parsed before anything accounts for them.
           CheckRange("--max-values", limits.max_values, 1,
                      CallLimits{}.max_values),
           CheckRange("--max-calibration-summaries",
                      limits.max_calibration_summaries, 1, kPairsMax),
       }) {
    if (!checked.ok()) return checked;
  }
  return absl::OkStatus();
}

// A call holds as much as the largest message while it is read, and its reply
// as well while it computes.
absl::Status ResolveBytesInFlight(ServerOptions& options) {
  const uint64_t one_call = 2 * options.call.request_bytes_max();
  uint64_t& bytes = options.load.max_bytes_in_flight;
  if (bytes == 0) {
    const uint64_t memory = MemoryBytes();
    if (one_call > memory) {
      return FieldError(
          "--max-message-bytes",
          absl::StrCat(options.call.max_message_bytes, "; must be at most ",
                       memory / 2 - std::min(memory / 2, kFieldBytesAllowance),
                       ", since a call holds twice as much and there are ",
                       memory, " bytes of memory"));
    }
    bytes = std::max(memory / 2, one_call);
  }
  if (bytes >= one_call && bytes <= kBytesMax) return absl::OkStatus();
  return FieldError(
      "--max-bytes-in-flight",
      absl::StrCat(bytes, "; must be in [", one_call, ", ", kBytesMax,
                   "], from twice a message of --max-message-bytes on"));
}

absl::Status CheckLoadLimits(const LoadLimits& limits) {
  for (const absl::Status& checked : {
           CheckRange("--max-waiting-calls", limits.max_waiting_calls, 0,
                      kCallsMax),
           CheckRange("--max-queued-calls", limits.max_queued_calls, 1,
                      kCallsMax),
           CheckTime("--stall-timeout", limits.stall_timeout,
                     absl::Milliseconds(100), absl::InfiniteDuration()),
       }) {
    if (!checked.ok()) return checked;
  }
  return absl::OkStatus();
}

absl::Status CheckTimes(const ServerOptions& options) {
  for (const absl::Status& checked : {
           CheckTime("--drain-delay", options.drain_delay, absl::ZeroDuration(),
                     kDrainTimeoutMax),
           CheckTime("--drain-timeout", options.drain_timeout,
                     absl::ZeroDuration(), kDrainTimeoutMax),
           CheckTime("--watchdog-interval", options.watchdog_interval,
                     absl::Milliseconds(100), absl::InfiniteDuration()),
       }) {
    if (!checked.ok()) return checked;
  }
  return absl::OkStatus();
}

absl::Status CheckLogLevel(absl::string_view level) {
  constexpr std::array<absl::string_view, 5> kLevels = {"off", "error", "warn",
                                                        "info", "debug"};
  if (std::find(kLevels.begin(), kLevels.end(), level) != kLevels.end()) {
    return absl::OkStatus();
  }
  return FieldError(
      "--log-level",
      absl::StrCat(level, "; must be off, error, warn, info or debug"));
}

// How the server is watched: its port for that, and its log.
absl::Status ResolveAdmin(ServerOptions& options) {
  if (options.admin_listen != "auto" && options.admin_listen != "off" &&
      !IsAddress(options.admin_listen)) {
    return FieldError("--admin-listen",
                      absl::StrCat(options.admin_listen,
                                   "; must be HOST:PORT, unix:PATH, auto or "
                                   "off"));
  }
  if (options.log_format == "auto") {
    options.log_format = options.security.production ? "json" : "text";
  }
  if (options.log_format != "text" && options.log_format != "json") {
    return FieldError("--log-format", absl::StrCat(options.log_format,
                                                   "; must be text, json or "
                                                   "auto"));
  }
  return absl::OkStatus();
}

absl::Status CheckThreads(absl::string_view flag, int threads) {
  if (threads >= 1 && threads <= kThreadsMax) return absl::OkStatus();
  return FieldError(
      flag, absl::StrCat(threads, "; must be in [0, ", kThreadsMax, "]"));
}

}  // namespace

absl::StatusOr<ServerOptions> Resolve(ServerOptions options) {
  for (const std::string& address : options.listen) {
    if (IsAddress(address)) continue;
    return FieldError(
        "--listen", absl::StrCat(address, "; must be HOST:PORT or unix:PATH"));
  }
  if (absl::Status status = CheckSecurity(options.security, options.listen);
      !status.ok()) {
    return status;
  }
  if (options.threads == 0) {
    options.threads =
        static_cast<int>(std::clamp<unsigned>(Processors(), 1, kThreadsMax));
  }
  if (options.io_threads == 0) {
    options.io_threads = std::max(1, options.threads / 2);
  }
  for (const absl::Status& checked :
       {CheckThreads("--threads", options.threads),
        CheckThreads("--io-threads", options.io_threads),
        CheckCallLimits(options.call), ResolveBytesInFlight(options),
        CheckLoadLimits(options.load), CheckTimes(options)}) {
    if (!checked.ok()) return checked;
  }
  if (absl::Status status = ResolveConnection(options.connection);
      !status.ok()) {
    return status;
  }
  if (absl::Status status = CheckLogLevel(options.log_level); !status.ok()) {
    return status;
  }
  if (absl::Status status = ResolveAdmin(options); !status.ok()) return status;
  return options;
}

}  // namespace halfstep

#include "server/options.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/field_error.h"
#include "server/security.h"
#include "server/descriptor_limit.h"

namespace halfstep {
namespace {

constexpr int kThreadsMax = 1024;
constexpr uint64_t kMessageBytesMin = 1024;
constexpr absl::Duration kDrainTimeoutMax = absl::Hours(24);

bool IsAddress(absl::string_view address) {
  if (absl::StartsWith(address, "unix:")) return address.size() > 5;
  const size_t colon = address.rfind(':');
  if (colon == absl::string_view::npos || colon == 0) return false;
  const absl::string_view digits = address.substr(colon + 1);
  uint32_t port = 0;
  return absl::SimpleAtoi(digits, &port) && port <= 65535;
}

// The memory of the machine, or of the container if it has less.
uint64_t MemoryBytes() {
  uint64_t bytes = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) *
                   static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  // cgroup v2, then v1; "max" or a huge number where there is no limit.
  for (const char* path : {"/sys/fs/cgroup/memory.max",
                           "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    uint64_t limit = 0;
    if (std::ifstream(path) >> limit && limit > 0)
      bytes = std::min(bytes, limit);
  }
  return bytes;
}

absl::Status CheckRange(absl::string_view flag, uint64_t value, uint64_t min,
                        uint64_t max) {
  if (value >= min && value <= max) return absl::OkStatus();
  return FieldError(flag,
                    absl::StrCat(value, "; must be in [", min, ", ", max, "]"));
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

}  // namespace

absl::StatusOr<ServerOptions> Resolve(ServerOptions options) {
  for (const std::string& address : options.listen) {
    if (IsAddress(address)) continue;
    return FieldError(
        "--listen", absl::StrCat(address, "; must be HOST:PORT or unix:PATH"));
  }
  if (options.threads == 0) {
    options.threads = static_cast<int>(std::clamp<unsigned>(
        std::thread::hardware_concurrency(), 1, kThreadsMax));
  }
  if (options.threads < 1 || options.threads > kThreadsMax) {
    return FieldError(
        "--threads",
        absl::StrCat(options.threads, "; must be in [0, ", kThreadsMax, "]"));
  }
  if (absl::Status status =
          CheckRange("--max-message-bytes", options.call.max_message_bytes,
                     kMessageBytesMin, kMessageBytesMax);
      !status.ok()) {
    return status;
  }
  // A call holds as much as the largest message while it is read, and its reply
  // as well while it computes.
  const uint64_t one_call =
      2 * (options.call.max_message_bytes + kFieldBytesAllowance);
  if (options.load.max_bytes_in_flight == 0) {
    options.load.max_bytes_in_flight = std::max(MemoryBytes() / 2, one_call);
  }
  if (absl::Status status =
          CheckRange("--max-bytes-in-flight", options.load.max_bytes_in_flight,
                     one_call, uint64_t{1} << 62);
      !status.ok()) {
    return status;
  }
  if (options.drain_timeout < absl::ZeroDuration() ||
      options.drain_timeout > kDrainTimeoutMax) {
    return FieldError("--drain-timeout",
                      absl::StrCat(absl::ToDoubleSeconds(options.drain_timeout),
                                   "; must be in [0, 86400] seconds"));
  }
  if (absl::Status status = CheckLogLevel(options.log_level); !status.ok()) {
    return status;
  }
  return options;
}

}  // namespace halfstep
  if (absl::Status status = CheckSecurity(options.security, options.listen);
      !status.ok()) {
    return status;
  }

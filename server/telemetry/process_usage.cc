#include "server/telemetry/process_usage.h"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace halfstep {
namespace {

std::string Content(const char* path) {
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// When the machine was started, in seconds since 1970.
double BootTimeSeconds() {
  constexpr absl::string_view kLine = "btime ";
  const std::string content = Content("/proc/stat");
  for (absl::string_view line : absl::StrSplit(content, '\n')) {
    double seconds = 0;
    if (absl::StartsWith(line, kLine) &&
        absl::SimpleAtod(line.substr(kLine.size()), &seconds)) {
      return seconds;
    }
  }
  return 0;
}

uint64_t CountOpenFiles() {
  std::error_code error;
  uint64_t count = 0;
  for (std::filesystem::directory_iterator entry("/proc/self/fd", error), end;
       !error && entry != end; entry.increment(error)) {
    ++count;
  }
  // Less the one that this took.
  return count == 0 ? 0 : count - 1;
}

}  // namespace

ProcessUsage ReadProcessUsage() {
  ProcessUsage usage;
  // See proc(5). The second field is the program's name in parentheses, which
  // may have anything in it; `state` is the third.
  const std::string stat = Content("/proc/self/stat");
  const size_t name_end = stat.rfind(") ");
  if (name_end != std::string::npos) {
    const std::vector<absl::string_view> fields =
        absl::StrSplit(absl::string_view(stat).substr(name_end + 2), ' ');
    const auto field = [&fields](size_t number) {
      double value = 0;
      const size_t index = number - 3;
      if (index >= fields.size() || !absl::SimpleAtod(fields[index], &value)) {
        return 0.0;
      }
      return value;
    };
    const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
    usage.cpu_seconds = (field(14) + field(15)) / ticks;
    usage.start_time_seconds = BootTimeSeconds() + field(22) / ticks;
    usage.virtual_memory_bytes = static_cast<uint64_t>(field(23));
    usage.resident_memory_bytes = static_cast<uint64_t>(field(24)) *
                                  static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  }
  usage.open_fds = CountOpenFiles();
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) usage.max_fds = files.rlim_cur;
  return usage;
}

}  // namespace halfstep

#include "client/cli/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"

namespace halfstep::cli {
namespace {

// Short commands need no line that comes and goes.
constexpr absl::Duration kShownAfter = absl::Seconds(1);
constexpr absl::Duration kInterval = absl::Milliseconds(200);

}  // namespace

bool CanErase() {
  const char* const terminal = std::getenv("TERM");
  return isatty(STDERR_FILENO) == 1 &&
         (terminal == nullptr || std::string(terminal) != "dumb");
}

Progress::Progress(std::string what, uint64_t total_bytes)
    : is_shown_(CanErase()),
      what_(std::move(what)),
      total_bytes_(std::max<uint64_t>(total_bytes, 1)),
      begin_(absl::Now()),
      shown_(begin_ + kShownAfter - kInterval) {}

Progress::~Progress() {
  if (is_shown_ && shown_ > begin_ + kShownAfter) {
    std::fprintf(stderr, "\r\x1b[K");
  }
}

void Progress::Add(uint64_t bytes) {
  const absl::MutexLock lock(&mutex_);
  done_bytes_ += bytes;
  const absl::Time now = absl::Now();
  if (!is_shown_ || now - shown_ < kInterval) return;
  shown_ = now;
  const double seconds = absl::ToDoubleSeconds(now - begin_);
  const double rate = static_cast<double>(done_bytes_) / seconds;
  const double left =
      static_cast<double>(total_bytes_ - std::min(done_bytes_, total_bytes_)) /
      std::max(rate, 1.0);
  const std::string line = absl::StrFormat(
      "\r\x1b[K%s: %.0f%% of %.1f MB, %.0f MB/s, %.0f s left", what_,
      100.0 * static_cast<double>(done_bytes_) /
          static_cast<double>(total_bytes_),
      static_cast<double>(total_bytes_) / 1e6, rate / 1e6, left);
  std::fputs(line.c_str(), stderr);
  std::fflush(stderr);
}

}  // namespace halfstep::cli

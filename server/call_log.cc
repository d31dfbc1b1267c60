#include "server/call_log.h"

#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace halfstep {
namespace {

// Lines that may wait to be written: about 2 MiB.
constexpr size_t kLinesMax = 8192;

spdlog::level::level_enum LevelOf(const absl::Status& status) {
  return status.code() == absl::StatusCode::kInternal ? spdlog::level::err
                                                      : spdlog::level::info;
}

double Milliseconds(absl::Duration time) {
  return absl::ToDoubleMilliseconds(time);
}

}  // namespace

class CallLog::Sink {
 public:
  explicit Sink(absl::string_view level)
      : pool_(std::make_shared<spdlog::details::thread_pool>(kLinesMax, 1)),
        logger_(std::make_shared<spdlog::async_logger>(
            "halfstep", std::make_shared<spdlog::sinks::stderr_sink_mt>(),
            pool_, spdlog::async_overflow_policy::overrun_oldest)) {
    logger_->set_level(spdlog::level::from_str(std::string(level)));
    // ISO 8601 in UTC, so that lines of several machines sort.
    logger_->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v",
                         spdlog::pattern_time_type::utc);
  }

  spdlog::async_logger& logger() { return *logger_; }

 private:
  // Joined last, after it has written what the logger left in its queue.
  std::shared_ptr<spdlog::details::thread_pool> pool_;
  std::shared_ptr<spdlog::async_logger> logger_;
};

CallLog::CallLog(absl::string_view level)
    : sink_(std::make_unique<Sink>(level)) {}

CallLog::~CallLog() = default;

bool CallLog::IsWanted(const absl::Status& status) const {
  return sink_->logger().should_log(LevelOf(status));
}

void CallLog::Write(const CallRecord& record) {
  sink_->logger().log(
      LevelOf(record.status),
      "{} peer={} in={} out={} queue_ms={:.3f} compute_ms={:.3f} status={}{}{}",
      std::string(record.method), record.peer, record.bytes_in,
      record.bytes_out, Milliseconds(record.queue_time),
      Milliseconds(record.compute_time),
      absl::StatusCodeToString(record.status.code()),
      record.status.ok() ? "" : " ", std::string(record.status.message()));
}

void CallLog::Note(absl::string_view text) {
  sink_->logger().info(std::string(text));
}

void CallLog::NoteError(absl::string_view text) {
  sink_->logger().error(std::string(text));
}

void CallLog::SetLevel(absl::string_view level) {
  sink_->logger().set_level(spdlog::level::from_str(std::string(level)));
}

}  // namespace halfstep

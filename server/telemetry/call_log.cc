#include "server/telemetry/call_log.h"

#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <string>

namespace halfstep {
namespace {

// Lines that may wait to be written: about 2 MiB.
constexpr size_t kLinesMax = 8192;

// RFC 3339 in UTC, so that lines of several machines sort.
constexpr char kTextPattern[] = "%Y-%m-%dT%H:%M:%S.%eZ %l %v";
constexpr char kJsonPattern[] =
    R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})";

spdlog::level::level_enum LevelOf(const absl::Status& status) {
  return status.code() == absl::StatusCode::kInternal ? spdlog::level::err
                                                      : spdlog::level::info;
}

}  // namespace

class CallLog::Sink {
 public:
  Sink(absl::string_view level, LogFormat format)
      : pool_(std::make_shared<spdlog::details::thread_pool>(kLinesMax, 1)),
        logger_(std::make_shared<spdlog::async_logger>(
            "halfstep", std::make_shared<spdlog::sinks::stderr_sink_mt>(),
            pool_, spdlog::async_overflow_policy::overrun_oldest)) {
    logger_->set_level(spdlog::level::from_str(std::string(level)));
    logger_->set_pattern(
        format == LogFormat::kJson ? kJsonPattern : kTextPattern,
        spdlog::pattern_time_type::utc);
  }

  spdlog::async_logger& logger() { return *logger_; }
  uint64_t dropped() const { return pool_->overrun_counter(); }

 private:
  // Joined last, after it has written what the logger left in its queue.
  std::shared_ptr<spdlog::details::thread_pool> pool_;
  std::shared_ptr<spdlog::async_logger> logger_;
};

CallLog::CallLog(absl::string_view level, LogFormat format)
    : format_(format), sink_(std::make_unique<Sink>(level, format)) {}

CallLog::~CallLog() = default;

bool CallLog::IsWanted(const absl::Status& status) const {
  return sink_->logger().should_log(LevelOf(status));
}

void CallLog::Write(const CallRecord& record) {
  sink_->logger().log(LevelOf(record.status), LogLine(record, format_));
}

void CallLog::Note(absl::string_view text) {
  sink_->logger().info(LogLine(text, format_));
}

void CallLog::NoteWarning(absl::string_view text) {
  sink_->logger().warn(LogLine(text, format_));
}

void CallLog::NoteError(absl::string_view text) {
  sink_->logger().error(LogLine(text, format_));
}

void CallLog::SetLevel(absl::string_view level) {
  sink_->logger().set_level(spdlog::level::from_str(std::string(level)));
}

uint64_t CallLog::dropped() const { return sink_->dropped(); }

}  // namespace halfstep

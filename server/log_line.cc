#include "server/log_line.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"

namespace halfstep {
namespace {

constexpr char kServed[] = "served";

std::string Cut(absl::string_view text, size_t bytes_max = kLoggedBytesMax) {
  if (text.size() <= bytes_max) return std::string(text);
  return absl::StrCat(text.substr(0, bytes_max), "...");
}

std::string Printable(absl::string_view text) {
  return absl::CHexEscape(Cut(text));
}

// In milliseconds, to the microsecond.
double Milliseconds(absl::Duration time) {
  return std::round(absl::ToDoubleMicroseconds(time)) / 1000;
}

std::string TextLine(const CallRecord& record) {
  std::string line =
      absl::StrFormat("%s peer=%s request_id=%s", record.method,
                      Printable(record.peer), Printable(record.request_id));
  if (!record.trace_id.empty()) {
    absl::StrAppend(&line, " trace_id=", Printable(record.trace_id));
  }
  if (!record.caller.empty()) {
    absl::StrAppend(&line, " caller=", Printable(record.caller));
  }
  absl::StrAppendFormat(
      &line, " in=%d out=%d queue_ms=%.3f compute_ms=%.3f wire_ms=%.3f",
      record.bytes_in, record.bytes_out, Milliseconds(record.queue_time),
      Milliseconds(record.compute_time), Milliseconds(record.wire_time()));
  absl::StrAppend(&line,
                  " status=", absl::StatusCodeToString(record.status.code()));
  if (!record.status.ok()) {
    absl::StrAppend(&line, " ", Printable(record.status.message()));
  }
  return line;
}

// The library escapes; this leaves out the braces.
std::string Members(const nlohmann::ordered_json& object) {
  // Invalid UTF-8 throws otherwise.
  const std::string text = object.dump(
      -1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  return text.substr(1, text.size() - 2);
}

std::string JsonLine(const CallRecord& record) {
  nlohmann::ordered_json line;
  line["message"] = record.status.ok() ? kServed : Cut(record.status.message());
  line["method"] = std::string(record.method);
  line["status"] = absl::StatusCodeToString(record.status.code());
  line["request_id"] = Cut(record.request_id);
  if (!record.trace_id.empty()) line["trace_id"] = Cut(record.trace_id);
  line["peer"] = Cut(record.peer);
  if (!record.caller.empty()) line["caller"] = Cut(record.caller);
  line["bytes_in"] = record.bytes_in;
  line["bytes_out"] = record.bytes_out;
  line["queue_ms"] = Milliseconds(record.queue_time);
  line["compute_ms"] = Milliseconds(record.compute_time);
  line["wire_ms"] = Milliseconds(record.wire_time());
  line["total_ms"] = Milliseconds(record.total_time);
  if (record.work.elements > 0) {
    line["elements"] = record.work.elements;
    line["saturated"] = record.work.saturated;
    line["non_finite"] = record.work.non_finite;
  }
  return Members(line);
}

}  // namespace

std::string LogLine(const CallRecord& record, LogFormat format) {
  return format == LogFormat::kJson ? JsonLine(record) : TextLine(record);
}

std::string LogLine(absl::string_view note, LogFormat format) {
  const std::string text = Cut(note, kLoggedNoteBytesMax);
  return format == LogFormat::kJson ? Members({{"message", text}})
                                    : absl::CHexEscape(text);
}

}  // namespace halfstep

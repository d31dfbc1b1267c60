#include "server/telemetry/log_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace halfstep {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

CallRecord Served() {
  CallRecord record;
  record.method = "QuantizationService/Quantize";
  record.peer = "ipv4:127.0.0.1:42522";
  record.request_id = "a1";
  record.bytes_in = 4013;
  record.bytes_out = 1046;
  record.queue_time = absl::Microseconds(54);
  record.compute_time = absl::Microseconds(259);
  record.total_time = absl::Microseconds(461);
  return record;
}

json Parsed(const std::string& members) {
  return json::parse("{" + members + "}");
}

// What a client may put into a name, a message or a caller.
std::vector<std::string> HostileTexts() {
  std::vector<std::string> texts = {
      "a\nb",
      "a\r\nINFO forged",
      "\"},{\"level\":\"error\"",
      "\\",
      "\\u0000",
      std::string("a\0b", 3),
      "\x1b[2J\x1b]0;title\x07",
      "\x7f",
      "\xff\xfe",
      "\xc3",              // half of a character
      "\xed\xa0\x80",      // half of a pair of UTF-16
      "\xc0\xaf",          // a slash, too long
      "\xf4\x90\x80\x80",  // past the last character
      "\xe2\x80\xae"
      "abc",  // right to left
      "\xc2\x9b"
      "31m",           // a control character beyond ASCII
      "\xe2\x80\xa8",  // ends a line, in JavaScript
      "%s%n{}{0}",
      std::string(100'000, 'a'),
      std::string(100'000, '\xff'),
  };
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  texts.push_back(all);
  return texts;
}

TEST(LogLine, OfACallForPeople) {
  EXPECT_EQ(LogLine(Served(), LogFormat::kText),
            "QuantizationService/Quantize peer=ipv4:127.0.0.1:42522 "
            "request_id=a1 in=4013 out=1046 queue_ms=0.054 compute_ms=0.259 "
            "wire_ms=0.148 status=OK");
  CallRecord record = Served();
  record.trace_id = "0af7651916cd43dd8448eb211c80319c";
  record.caller = "ana";
  record.status = absl::InvalidArgumentError("spec.bits: 33; must be less");
  EXPECT_EQ(LogLine(record, LogFormat::kText),
            "QuantizationService/Quantize peer=ipv4:127.0.0.1:42522 "
            "request_id=a1 trace_id=0af7651916cd43dd8448eb211c80319c "
            "caller=ana in=4013 out=1046 queue_ms=0.054 compute_ms=0.259 "
            "wire_ms=0.148 status=INVALID_ARGUMENT spec.bits: 33; must be "
            "less");
}

TEST(LogLine, OfACallForPrograms) {
  CallRecord record = Served();
  EXPECT_EQ(Parsed(LogLine(record, LogFormat::kJson)), json::parse(R"({
    "message": "served",
    "method": "QuantizationService/Quantize",
    "status": "OK",
    "request_id": "a1",
    "peer": "ipv4:127.0.0.1:42522",
    "bytes_in": 4013,
    "bytes_out": 1046,
    "queue_ms": 0.054,
    "compute_ms": 0.259,
    "wire_ms": 0.148,
    "total_ms": 0.461})"));
  record.trace_id = "0af7651916cd43dd8448eb211c80319c";
  record.caller = "ana";
  record.work = {
      .scheme = "symmetric", .elements = 1000, .saturated = 2, .non_finite = 1};
  record.status = absl::UnavailableError("later");
  const json line = Parsed(LogLine(record, LogFormat::kJson));
  EXPECT_EQ(line["trace_id"], record.trace_id);
  EXPECT_EQ(line["caller"], "ana");
  EXPECT_EQ(line["elements"], 1000);
  EXPECT_EQ(line["saturated"], 2);
  EXPECT_EQ(line["non_finite"], 1);
  EXPECT_EQ(line["status"], "UNAVAILABLE");
  EXPECT_EQ(line["message"], "later");
}

TEST(LogLine, WireTimeIsNeverNegative) {
  CallRecord record = Served();
  record.compute_time = absl::Seconds(1);
  EXPECT_EQ(Parsed(LogLine(record, LogFormat::kJson))["wire_ms"], 0);
}

TEST(LogLine, HostileTextsStayWithinJson) {
  for (const std::string& text : HostileTexts()) {
    CallRecord record = Served();
    record.peer = record.caller = record.request_id = record.trace_id = text;
    record.status = absl::InvalidArgumentError(text);
    const std::string line = LogLine(record, LogFormat::kJson);
    EXPECT_THAT(line, Not(HasSubstr("\n")));
    const json parsed = Parsed(line);  // throws if it is no JSON
    // Nothing has been added to what there is: 11 members and these two.
    EXPECT_EQ(parsed.size(), 13);
    EXPECT_EQ(parsed["status"], "INVALID_ARGUMENT");
    EXPECT_LT(line.size(), 50'000);
    for (const char byte : line) EXPECT_GE(static_cast<uint8_t>(byte), 0x20);
  }
}

TEST(LogLine, HostileTextsArePrintableForPeople) {
  for (const std::string& text : HostileTexts()) {
    CallRecord record = Served();
    record.peer = record.caller = record.request_id = record.trace_id = text;
    record.status = absl::InvalidArgumentError(text);
    for (const std::string& line :
         {LogLine(record, LogFormat::kText), LogLine(text, LogFormat::kText)}) {
      EXPECT_LT(line.size(), 50'000);
      for (const char byte : line) {
        EXPECT_GE(byte, 0x20) << line;  // also negative ones
        EXPECT_LT(byte, 0x7f) << line;
      }
    }
  }
}

TEST(LogLine, LongTextsAreCut) {
  CallRecord record = Served();
  record.status = absl::InternalError(std::string(kLoggedBytesMax, 'a'));
  EXPECT_THAT(LogLine(record, LogFormat::kText), Not(HasSubstr("...")));
  record.status = absl::InternalError(std::string(kLoggedBytesMax + 1, 'a'));
  EXPECT_THAT(LogLine(record, LogFormat::kText), HasSubstr("a..."));
  EXPECT_EQ(Parsed(LogLine(record, LogFormat::kJson))["message"],
            absl::StrCat(std::string(kLoggedBytesMax, 'a'), "..."));
  // A character that is cut in two.
  const std::string text = std::string(kLoggedBytesMax - 1, 'a') + "\xc3\xa9";
  record.status = absl::InternalError(text);
  EXPECT_EQ(
      Parsed(LogLine(record, LogFormat::kJson))["message"],
      absl::StrCat(std::string(kLoggedBytesMax - 1, 'a'), "\xef\xbf\xbd..."));
}

TEST(LogLine, OfANote) {
  EXPECT_EQ(LogLine("admin on [::1]:50052", LogFormat::kText),
            "admin on [::1]:50052");
  EXPECT_EQ(Parsed(LogLine("a \"b\"\n", LogFormat::kJson)),
            json::parse(R"({"message": "a \"b\"\n"})"));
}

}  // namespace
}  // namespace halfstep

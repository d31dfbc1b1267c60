#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "client/load/html_report.h"
#include "client/load/recorder.h"
#include "client/load/results.h"

namespace halfstep::load {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int64_t kMs = 1'000'000;
const std::string kMessage = "why";

// Ends at 1000 ms, measured from 500 ms on.
struct Measured {
  Measured() {
    window.begin_ns = 500 * kMs;
    window.end_ns = 1'000 * kMs;
  }
  void Record(int64_t due_ms, int64_t ended_ms,
              absl::StatusCode code = absl::StatusCode::kOk) {
    recorder.Record({.due_ns = due_ms * kMs,
                     .ended_ns = ended_ms * kMs,
                     .code = code,
                     .message = &kMessage,
                     .request_bytes = 1'000,
                     .reply_bytes = 250});
  }
  StepResult Result() const {
    StepResult result;
    result.options.rate = 4;
    result.seconds = 0.5;
    recorder.AddTo(result);
    return result;
  }

  Window window;
  Recorder recorder{window};
};

TEST(Recorder, TheWarmUpIsNotMeasured) {
  Measured measured;
  measured.Record(499, 499);
  const StepResult result = measured.Result();
  EXPECT_EQ(result.calls, 0u);
  EXPECT_EQ(result.answered, 0u);
}

TEST(Recorder, CallsCountWhenDueAndThroughputWhenAnswered) {
  Measured measured;
  measured.Record(400, 600);    // due in the warm-up: throughput alone
  measured.Record(600, 700);    // both
  measured.Record(900, 1'100);  // answered after the end: latency alone
  const StepResult result = measured.Result();
  EXPECT_EQ(result.calls, 2u);
  EXPECT_EQ(result.ok, 2u);
  EXPECT_EQ(result.answered, 2u);
  EXPECT_EQ(result.calls_per_second(), 4);
  EXPECT_EQ(result.request_bytes, 2'000u);
  EXPECT_EQ(result.reply_bytes, 500u);
  EXPECT_EQ(result.latency.min(), 100 * kMs);
  EXPECT_EQ(result.latency.max(), 200 * kMs);
}

// A stalled server must not look fast because its calls ran out of time.
TEST(Recorder, CallsThatRanOutOfTimeHaveALatency) {
  Measured measured;
  measured.Record(600, 900, absl::StatusCode::kDeadlineExceeded);
  measured.Record(600, 601, absl::StatusCode::kResourceExhausted);
  const StepResult result = measured.Result();
  EXPECT_EQ(result.calls, 2u);
  EXPECT_EQ(result.ok, 0u);
  EXPECT_EQ(result.answered, 0u);
  EXPECT_EQ(result.latency.count(), 1u);
  EXPECT_EQ(result.latency.max(), 300 * kMs);
  EXPECT_EQ(result.failures.size(), 2u);
}

TEST(Warnings, SayWhenTheClientIsTheBottleneck) {
  StepResult result;
  result.calls = 1'000;
  EXPECT_THAT(Warnings(result), IsEmpty());
  result.busiest_thread = 0.95;
  EXPECT_THAT(Warnings(result), ElementsAre(HasSubstr("the bottleneck")));
  result.busiest_thread = 0;
  result.cpu_cores = 0.95 * Cores();
  EXPECT_THAT(Warnings(result), ElementsAre(HasSubstr("the bottleneck")));
  result.cpu_cores = 0;
  result.late = 10;
  EXPECT_THAT(Warnings(result), IsEmpty());
  result.late = 11;
  EXPECT_THAT(Warnings(result), ElementsAre(HasSubstr("11 of 1000 calls")));
}

Row SomeRow() {
  Measured measured;
  for (int64_t i = 0; i < 400; ++i) measured.Record(500 + i, 502 + i);
  measured.Record(600, 601, absl::StatusCode::kResourceExhausted);
  return {
      .calls = "a \"mix\", 1", .real_bytes = 64, .result = measured.Result()};
}

TEST(Results, CsvHasALinePerStepAndAFieldPerColumn) {
  const std::string csv = ToCsv({SomeRow(), SomeRow()});
  const std::vector<std::string> lines = absl::StrSplit(csv, '\n');
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[3], "");
  const std::vector<std::string> names = absl::StrSplit(lines[0], ',');
  // The first field is quoted and has a comma of its own.
  const std::vector<std::string> fields = absl::StrSplit(lines[1], ',');
  EXPECT_EQ(fields.size(), names.size() + 1);
  EXPECT_THAT(lines[1], testing::StartsWith(
                            "\"a \"\"mix\"\", 1\",64,open,4,0,false,0.5,401,"
                            "400,1,0,800,0.0008,0.0002,0.002,0.002,"));
}

TEST(Results, JsonHasTheNumbersInSecondsAndBytes) {
  const nlohmann::ordered_json json = ToJson(SomeRow());
  EXPECT_EQ(json["calls"], 401);
  EXPECT_EQ(json["ok"], 400);
  EXPECT_EQ(json["failed"], 1);
  EXPECT_EQ(json["partial"], false);
  EXPECT_EQ(json["errors"]["RESOURCE_EXHAUSTED"]["count"], 1);
  EXPECT_EQ(json["errors"]["RESOURCE_EXHAUSTED"]["first_message"], "why");
  EXPECT_EQ(json["calls_per_second"], 800);
  EXPECT_EQ(json["latency_seconds"]["p99.99"], 0.002);
  EXPECT_EQ(json["latency_curve"].front()[0], 0);
  // 400 latencies: the slowest is one of 400.
  EXPECT_EQ(json["latency_curve"].back()[0], 1 - 1 / 400.0);
}

TEST(Results, StoppedStepsArePartialAndSayWhy) {
  Row row = SomeRow();
  row.result.stop = Stop::kServerGone;
  row.result.stop_reason = absl::UnavailableError("refused");
  const nlohmann::ordered_json json = ToJson(row);
  EXPECT_EQ(json["partial"], true);
  EXPECT_EQ(json["stopped"], "server gone");
  EXPECT_EQ(json["stop_reason"], "refused");
}

TEST(HtmlReport, DataCannotEndItsScript) {
  nlohmann::ordered_json run;
  run["message"] = "</script><script>alert(1)</script><!-- @UPLOT_JS@ \xff";
  const std::string html = ToHtml(run);
  EXPECT_THAT(html, testing::Not(HasSubstr("<script>alert")));
  EXPECT_THAT(html, HasSubstr("\\u003c/script>"));
  EXPECT_THAT(html, HasSubstr("The MIT License"));
  EXPECT_THAT(html, HasSubstr("@UPLOT_JS@"));
}

}  // namespace
}  // namespace halfstep::load

#include "server/ending.h"

#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "server/telemetry/readiness.h"

namespace halfstep {
namespace {

TEST(HangWatchDeathTest, EndsWhatHangsAndSaysOnWhat) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        const HangWatch watch(absl::Milliseconds(50), [] {
          return "waiting for gRPC; 1 calls in flight: Quantize for 3s";
        });
        absl::SleepFor(absl::Minutes(1));
      },
      testing::ExitedWithCode(kExitHung),
      "^halfstep-server: shutdown: hangs, waiting for gRPC; 1 calls in flight: "
      "Quantize for 3s; must end within 50ms\n$");
}

TEST(HangWatch, LeavesWhatEndsInTime) {
  const HangWatch watch(absl::Minutes(10), [] { return ""; });
}

TEST(Readiness, IsReadyWhileEveryConditionHolds) {
  using Condition = Readiness::Condition;
  Readiness readiness({"a.Service"});
  EXPECT_FALSE(readiness.is_ready());
  EXPECT_EQ(readiness.Describe(), "starting");
  readiness.Set(Condition::kStarted, true);
  EXPECT_TRUE(readiness.is_ready());
  EXPECT_EQ(readiness.Describe(), "ready");
  readiness.Set(Condition::kReachable, false);
  EXPECT_FALSE(readiness.is_ready());
  readiness.Set(Condition::kReachable, true);
  EXPECT_TRUE(readiness.is_ready());
  readiness.Set(Condition::kNotStopping, false);
  EXPECT_FALSE(readiness.is_ready());
  EXPECT_EQ(readiness.Describe(), "shutting down");
}

}  // namespace
}  // namespace halfstep

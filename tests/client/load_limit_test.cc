#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "client/load/limit.h"

namespace halfstep::load {
namespace {

constexpr absl::Duration kBound = absl::Milliseconds(5);

// What a server that keeps `capacity` calls per second would show.
StepResult ResultOf(double rate, double capacity) {
  StepResult result;
  result.options.rate = rate;
  result.seconds = 1;
  result.calls = result.ok = result.answered = 1'000;
  for (int i = 0; i < 1'000; ++i) {
    result.latency.Record(rate <= capacity ? 1'000'000 : 50'000'000);
  }
  return result;
}

TEST(KeepsRate, LooksAtLatencyFailuresAndQueues) {
  EXPECT_TRUE(KeepsRate(ResultOf(10, 10), kBound));
  EXPECT_FALSE(KeepsRate(ResultOf(11, 10), kBound));
  StepResult failed = ResultOf(10, 10);
  failed.failures[absl::StatusCode::kResourceExhausted].count = 1;
  EXPECT_FALSE(KeepsRate(failed, kBound));
  StepResult queued = ResultOf(10, 10);
  queued.answered = 949;
  EXPECT_FALSE(KeepsRate(queued, kBound));
  queued.answered = 950;
  EXPECT_TRUE(KeepsRate(queued, kBound));
  EXPECT_FALSE(KeepsRate(StepResult(), kBound));
}

class FindLimitFrom : public testing::TestWithParam<double> {};

TEST_P(FindLimitFrom, SettlesOnTheCapacity) {
  for (const double capacity : {0.7, 100.0, 12'345.6}) {
    SCOPED_TRACE(capacity);
    int tries = 0;
    const Limit limit =
        FindLimit(GetParam() * capacity,
                  {.p99_below = kBound, .steps_max = 40, .first_rate = 0},
                  [&](double rate) {
                    ++tries;
                    return ResultOf(rate, capacity);
                  });
    ASSERT_TRUE(limit.rate.has_value());
    ASSERT_TRUE(limit.too_high.has_value());
    EXPECT_TRUE(limit.settled);
    EXPECT_LE(*limit.rate, capacity);
    EXPECT_GT(*limit.too_high, capacity);
    EXPECT_LE(*limit.too_high, *limit.rate * (1 + kLimitPrecision));
    // log2 of the way there, and 4 halvings of a factor of 2 to within 5 %.
    EXPECT_LE(tries, 2 + std::abs(std::log2(GetParam())) + 4);
  }
}

INSTANTIATE_TEST_SUITE_P(Firsts, FindLimitFrom,
                         testing::Values(0.1, 0.5, 0.99, 1.01, 5.0));

TEST(FindLimit, TriesNoMoreThanItMay) {
  int tries = 0;
  const Limit limit =
      FindLimit(1, {.p99_below = kBound, .steps_max = 3, .first_rate = 0},
                [&](double rate) {
                  ++tries;
                  return ResultOf(rate, 1e5);
                });
  EXPECT_EQ(tries, 3);
  EXPECT_FALSE(limit.settled);
  EXPECT_EQ(limit.rate, 4);
  EXPECT_FALSE(limit.too_high.has_value());
}

TEST(FindLimit, EndsWhenNoRateIsLowEnough) {
  int tries = 0;
  const Limit limit =
      FindLimit(100, {.p99_below = kBound, .steps_max = 1'000, .first_rate = 0},
                [&](double rate) {
                  ++tries;
                  return ResultOf(rate, 0);
                });
  EXPECT_LT(tries, 15);
  EXPECT_FALSE(limit.rate.has_value());
}

TEST(FindLimit, EndsWhenAStepWasStopped) {
  std::vector<double> rates;
  const Limit limit =
      FindLimit(100, {.p99_below = kBound, .steps_max = 10, .first_rate = 0},
                [&](double rate) {
                  rates.push_back(rate);
                  StepResult result = ResultOf(rate, 1e5);
                  if (rates.size() == 2) result.stop = Stop::kServerGone;
                  return result;
                });
  EXPECT_EQ(rates, (std::vector<double>{100, 200}));
  EXPECT_TRUE(limit.stopped);
  EXPECT_EQ(limit.rate, 100);
}

}  // namespace
}  // namespace halfstep::load

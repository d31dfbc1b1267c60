#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "client/load/arrivals.h"

namespace halfstep::load {
namespace {

TEST(Arrivals, ConstantOnesDoNotDrift) {
  // 1/3 ms has no finite number of nanoseconds.
  Arrivals arrivals(ArrivalKind::kConstant, 3'000, 1);
  for (int64_t i = 0; i <= 300'000; ++i) {
    const int64_t due_ns = arrivals.Next();
    // Rounded to the nearest: half a nanosecond at most.
    ASSERT_LE(std::abs(3 * due_ns - i * 1'000'000), 1) << i;
  }
}

class Poisson : public testing::TestWithParam<double> {};

TEST_P(Poisson, GapsAreExponential) {
  constexpr int kCount = 100'000;
  Arrivals arrivals(ArrivalKind::kPoisson, GetParam(), 7);
  std::vector<double> gaps;  // in units of their mean
  int64_t previous = 0;
  for (int i = 0; i < kCount; ++i) {
    const int64_t due_ns = arrivals.Next();
    ASSERT_GE(due_ns, previous);
    gaps.push_back(1e-9 * static_cast<double>(due_ns - previous) * GetParam());
    previous = due_ns;
  }
  // The largest distance of the distributions (Kolmogorov and Smirnov) exceeds
  // 1.95 / sqrt(n) in one of 1000 samples; the seed is fixed. Evenly spaced
  // gaps are 0.63 away.
  std::sort(gaps.begin(), gaps.end());
  double distance = 0;
  for (int i = 0; i < kCount; ++i) {
    const double share = 1 - std::exp(-gaps[static_cast<size_t>(i)]);
    distance = std::max({distance, std::abs(share - 1.0 * i / kCount),
                         std::abs(share - 1.0 * (i + 1) / kCount)});
  }
  EXPECT_LT(distance, 1.95 / std::sqrt(kCount));
}

INSTANTIATE_TEST_SUITE_P(Rates, Poisson, testing::Values(2.5, 1'000.0));

TEST(Arrivals, TheSeedDecides) {
  const auto schedule = [](uint64_t seed) {
    Arrivals arrivals(ArrivalKind::kPoisson, 100, seed);
    std::vector<int64_t> due;
    for (int i = 0; i < 100; ++i) due.push_back(arrivals.Next());
    return due;
  };
  EXPECT_EQ(schedule(1), schedule(1));
  EXPECT_NE(schedule(1), schedule(2));
}

}  // namespace
}  // namespace halfstep::load

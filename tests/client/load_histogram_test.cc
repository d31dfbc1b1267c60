#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "client/load/histogram.h"

namespace halfstep::load {
namespace {

// The latency of that rank among the sorted ones.
int64_t Exact(const std::vector<int64_t>& sorted, double quantile) {
  const auto rank = static_cast<size_t>(
      std::ceil(quantile * static_cast<double>(sorted.size()) - 1e-6));
  return sorted[std::clamp<size_t>(rank, 1, sorted.size()) - 1];
}

TEST(LatencyHistogram, EmptyIsZero) {
  const LatencyHistogram histogram;
  EXPECT_EQ(histogram.count(), 0u);
  EXPECT_EQ(histogram.min(), 0);
  EXPECT_EQ(histogram.max(), 0);
  EXPECT_EQ(histogram.mean(), 0);
  EXPECT_EQ(histogram.Quantile(0.99), 0);
}

TEST(LatencyHistogram, QuantilesAreWithinTheErrorOfSortedLatencies) {
  std::mt19937_64 random(1);
  // From nanoseconds to minutes: uniform in the logarithm.
  std::uniform_real_distribution<double> exponent(0, 11);
  for (const int count : {1, 2, 3, 10, 99, 100, 101, 1000, 20'000}) {
    LatencyHistogram histogram;
    std::vector<int64_t> latencies;
    for (int i = 0; i < count; ++i) {
      latencies.push_back(std::llround(std::pow(10, exponent(random))));
      histogram.Record(latencies.back());
    }
    std::sort(latencies.begin(), latencies.end());
    for (const double quantile :
         {0.0, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0}) {
      SCOPED_TRACE(testing::Message() << count << " " << quantile);
      const auto exact = static_cast<double>(Exact(latencies, quantile));
      EXPECT_LE(
          std::abs(static_cast<double>(histogram.Quantile(quantile)) - exact),
          LatencyHistogram::kRelativeError * exact);
    }
    EXPECT_EQ(histogram.min(), latencies.front());
    EXPECT_EQ(histogram.max(), latencies.back());
    EXPECT_EQ(histogram.Quantile(1), latencies.back());
  }
}

// Each bucket's ends and their neighbours, one at a time.
TEST(LatencyHistogram, TheErrorHoldsAtTheEndsOfBuckets) {
  for (int bit = 0; bit < 43; ++bit) {
    for (const int64_t parts : {512, 513, 700, 1023}) {
      for (const int64_t step : {-1, 0, 1}) {
        const int64_t latency = (parts << bit >> 9) + step;
        if (latency < 0) continue;
        LatencyHistogram histogram;
        histogram.Record(latency);
        // So that neither minimum nor maximum corrects the bucket.
        histogram.Record(0);
        histogram.Record(LatencyHistogram::kLargestNs);
        const auto middle = static_cast<double>(histogram.Quantile(0.5));
        EXPECT_LE(
            std::abs(middle - static_cast<double>(latency)),
            LatencyHistogram::kRelativeError * static_cast<double>(latency))
            << latency;
      }
    }
  }
}

TEST(LatencyHistogram, RanksAreThoseOfTheDefinition) {
  LatencyHistogram histogram;
  for (int64_t i = 1; i <= 100; ++i) histogram.Record(i);
  // Below 2^10 ns every latency has a bucket of its own.
  for (int percent = 1; percent <= 100; ++percent) {
    EXPECT_EQ(histogram.Quantile(percent / 100.0), percent);
  }
  EXPECT_EQ(histogram.Quantile(0.501), 51);
  EXPECT_EQ(histogram.Quantile(0), 1);
}

TEST(LatencyHistogram, TooLargeAndNegativeLatencies) {
  LatencyHistogram histogram;
  histogram.Record(-5);
  EXPECT_EQ(histogram.max(), 0);
  histogram.Record(INT64_MAX);
  EXPECT_EQ(histogram.max(), INT64_MAX);
  EXPECT_EQ(histogram.Quantile(1), INT64_MAX);
  EXPECT_EQ(histogram.count(), 2u);
}

TEST(LatencyHistogram, MergedIsTheSameAsRecordedTogether) {
  std::mt19937_64 random(2);
  LatencyHistogram together;
  LatencyHistogram parts[3];
  for (int i = 0; i < 3'000; ++i) {
    const auto latency = static_cast<int64_t>(random() >> (20 + i % 40));
    together.Record(latency);
    parts[i % 3].Record(latency);
  }
  LatencyHistogram merged;
  for (const LatencyHistogram& part : parts) merged.Merge(part);
  merged.Merge(LatencyHistogram());
  EXPECT_EQ(merged.count(), together.count());
  EXPECT_EQ(merged.min(), together.min());
  EXPECT_EQ(merged.max(), together.max());
  // Sums are taken in another order.
  EXPECT_NEAR(merged.mean(), together.mean(), 1e-9 * together.mean());
  for (double quantile = 0; quantile <= 1; quantile += 0.01) {
    EXPECT_EQ(merged.Quantile(quantile), together.Quantile(quantile));
  }
}

}  // namespace
}  // namespace halfstep::load

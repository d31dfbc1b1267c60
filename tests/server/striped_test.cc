#include "server/telemetry/striped.h"

#include <gtest/gtest.h>

#include <array>
#include <thread>
#include <vector>

namespace halfstep {
namespace {

constexpr std::array<int64_t, 2> kBounds = {1000, 2000};

TEST(TimeCountsTest, ATimeIsInTheFirstBucketThatItIsNotOver) {
  TimeCounts<kBounds> times;
  for (const int64_t nanoseconds : {0, 1000, 1001, 2000, 2001, 5000, 6000}) {
    times.Add(absl::Nanoseconds(nanoseconds));
  }
  EXPECT_EQ(times.TakeBucket(0), 2u);
  EXPECT_EQ(times.TakeBucket(1), 2u);
  EXPECT_EQ(times.TakeBucket(2), 3u);
  EXPECT_EQ(times.TakeNanoseconds(), 17'002);
}

TEST(TimeCountsTest, WhatIsTakenIsGone) {
  TimeCounts<kBounds> times;
  times.Add(absl::Nanoseconds(1500));
  EXPECT_EQ(times.TakeBucket(1), 1u);
  EXPECT_EQ(times.TakeNanoseconds(), 1500);
  EXPECT_EQ(times.TakeBucket(1), 0u);
  EXPECT_EQ(times.TakeNanoseconds(), 0);
}

TEST(StripedTest, NothingIsLostBetweenThreadsAndWhoTakes) {
  constexpr int kThreads = 20;  // more than stripes
  constexpr uint64_t kEach = 20'000;
  Striped<Count> striped;
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&striped] {
      for (uint64_t n = 0; n < kEach; ++n) striped.mine().Add(1);
    });
  }
  uint64_t total = 0;
  const auto take = [&striped, &total] {
    striped.ForEach([&total](Count& count) { total += count.Take(); });
  };
  for (int i = 0; i < 100; ++i) take();
  for (std::thread& thread : threads) thread.join();
  take();
  EXPECT_EQ(total, kThreads * kEach);
}

TEST(StripedTest, AThreadKeepsItsStripe) {
  Striped<Count> striped;
  EXPECT_EQ(&striped.mine(), &striped.mine());
}

}  // namespace
}  // namespace halfstep

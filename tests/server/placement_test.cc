// Where unary calls are computed.
#include "server/call/placement.h"

#include <gtest/gtest.h>

#include "absl/synchronization/notification.h"
#include "core/executor.h"

namespace halfstep {
namespace {

class Placement : public testing::Test {
 protected:
  bool IsInlineOf(size_t bytes, size_t calls_in_flight, int io_threads = 1) {
    return IsInline(bytes, executor_, io_threads, [&] {
      ++asked_;
      return calls_in_flight;
    });
  }

  static constexpr size_t kBetween = kInlineRequestBytesMax + 1;

  absl::Notification end_;  // of what executor_ runs
  Executor executor_{{.threads = 2}};
  int asked_ = 0;
};

TEST_F(Placement, ShortRequestsStayAndLongOnesGo) {
  EXPECT_TRUE(IsInlineOf(0, 100));
  EXPECT_TRUE(IsInlineOf(kInlineRequestBytesMax, 100));
  EXPECT_FALSE(IsInlineOf(kSometimesInlineRequestBytesMax + 1, 1));
  // Counting calls takes a lock.
  EXPECT_EQ(asked_, 0);
}

TEST_F(Placement, OneAloneStays) {
  EXPECT_TRUE(IsInlineOf(kBetween, 1));
  EXPECT_TRUE(IsInlineOf(kSometimesInlineRequestBytesMax, 1));
}

TEST_F(Placement, OneOfSeveralGoesWhileACoreIsFree) {
  EXPECT_FALSE(IsInlineOf(kBetween, 2));
  EXPECT_FALSE(IsInlineOf(kSometimesInlineRequestBytesMax, 2));
  ASSERT_TRUE(executor_.Submit([this] { end_.WaitForNotification(); }));
  // Two cores: one reads, and one computes now.
  EXPECT_TRUE(IsInlineOf(kBetween, 2));
  EXPECT_FALSE(IsInlineOf(kSometimesInlineRequestBytesMax + 1, 2));
  end_.Notify();
}

TEST_F(Placement, ThreadsThatReadMayTakeAllCores) {
  EXPECT_TRUE(IsInlineOf(kBetween, 2, /*io_threads=*/2));
  EXPECT_TRUE(IsInlineOf(kBetween, 2, /*io_threads=*/3));
}

}  // namespace
}  // namespace halfstep

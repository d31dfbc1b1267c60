#include "server/wire/buffer_pool.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"

namespace halfstep {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

TEST(BufferPool, AlignsWhatItKeeps) {
  const auto pool = BufferPool::Create(kMiB);
  for (const size_t size : {size_t{65'536}, size_t{65'537}, size_t{100'001}}) {
    const Buffer buffer = pool->Take(size);
    EXPECT_EQ(buffer.bytes().size(), size);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.bytes().data()) %
                  BufferPool::kAlignment,
              0u);
  }
  EXPECT_TRUE(pool->Take(0).bytes().empty());
}

TEST(BufferPool, SmallBuffersStayWhereTheyAre) {
  const auto pool = BufferPool::Create(kMiB);
  for (const size_t size : {size_t{1}, size_t{23}, size_t{65'535}}) {
    Buffer buffer = pool->Take(size);
    ASSERT_EQ(buffer.bytes().size(), size);
    const std::byte* memory = buffer.bytes().data();
    buffer.bytes().back() = std::byte{7};
    Buffer moved = std::move(buffer);
    EXPECT_EQ(moved.bytes().data(), memory);
    Buffer assigned;
    assigned = std::move(moved);
    EXPECT_EQ(assigned.bytes().data(), memory);
    EXPECT_EQ(assigned.bytes().back(), std::byte{7});
    EXPECT_EQ(pool->idle_bytes(), 0u);
  }
}

TEST(BufferPool, UsesLargeBuffersAgain) {
  const auto pool = BufferPool::Create(4 * kMiB);
  const std::byte* memory;
  {
    const Buffer buffer = pool->Take(kMiB);
    memory = buffer.bytes().data();
  }
  EXPECT_EQ(pool->idle_bytes(), kMiB);
  // Nearly the same size gets the same memory, for the time it is taken.
  const Buffer again = pool->Take(kMiB - 1000);
  EXPECT_EQ(again.bytes().data(), memory);
  EXPECT_EQ(again.bytes().size(), kMiB - 1000);
  EXPECT_EQ(pool->idle_bytes(), 0u);
  EXPECT_NE(pool->Take(kMiB).bytes().data(), memory);
}

TEST(BufferPool, KeepsNoMoreThanItMay) {
  const auto pool = BufferPool::Create(2 * kMiB);
  {
    const Buffer too_large = pool->Take(3 * kMiB);
    const Buffer a = pool->Take(kMiB);
    const Buffer b = pool->Take(kMiB);
    const Buffer c = pool->Take(kMiB);
    const Buffer small = pool->Take(100);
  }
  EXPECT_EQ(pool->idle_bytes(), 2 * kMiB);
}

TEST(BufferPool, GivesIdleMemoryBack) {
  const auto pool = BufferPool::Create(4 * kMiB);
  pool->Take(kMiB);
  const absl::Time between = absl::Now();
  absl::SleepFor(absl::Milliseconds(1));
  pool->Take(2 * kMiB);
  pool->ReleaseIdleSince(between);
  EXPECT_EQ(pool->idle_bytes(), 2 * kMiB);
  pool->ReleaseIdleSince(absl::Now());
  EXPECT_EQ(pool->idle_bytes(), 0u);
}

TEST(BufferPool, LivesAsLongAsItsBuffers) {
  auto pool = BufferPool::Create(kMiB);
  Buffer buffer = pool->Take(kMiB);
  pool.reset();
  buffer.bytes()[kMiB - 1] = std::byte{1};
  Buffer moved = std::move(buffer);
  EXPECT_EQ(moved.bytes()[kMiB - 1], std::byte{1});
}

TEST(BufferPool, ServesManyThreads) {
  const auto pool = BufferPool::Create(8 * kMiB);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&pool, i] {
      for (int round = 0; round < 500; ++round) {
        const Buffer buffer =
            pool->Take(kMiB / 8 * static_cast<size_t>(1 + round % 4));
        const auto mark = static_cast<std::byte>(i);
        buffer.bytes().front() = mark;
        buffer.bytes().back() = mark;
        std::this_thread::yield();
        // Nobody else has the same memory.
        EXPECT_EQ(buffer.bytes().front(), mark);
        EXPECT_EQ(buffer.bytes().back(), mark);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(pool->idle_bytes(), 8 * kMiB);
}

}  // namespace
}  // namespace halfstep

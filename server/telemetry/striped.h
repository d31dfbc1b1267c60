// Counts that many threads add to, and one reads now and then.
#ifndef HALFSTEP_SERVER_TELEMETRY_STRIPED_H_
#define HALFSTEP_SERVER_TELEMETRY_STRIPED_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"

namespace halfstep {

// Thread-safe.
class Count {
 public:
  void Add(uint64_t more) { count_.fetch_add(more, std::memory_order_relaxed); }
  // What was added since this was called last.
  uint64_t Take() { return count_.exchange(0, std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> count_{0};
};

// How many times fell into which bucket, and their sum. Thread-safe.
// `kBounds`: the longest of each bucket but the last, in nanoseconds,
// ascending.
template <const auto& kBounds>
class TimeCounts {
 public:
  static constexpr size_t kBuckets = kBounds.size() + 1;

  void Add(absl::Duration time) {
    const int64_t nanoseconds = absl::ToInt64Nanoseconds(time);
    const auto* const bucket =
        std::lower_bound(kBounds.begin(), kBounds.end(), nanoseconds);
    buckets_[static_cast<size_t>(bucket - kBounds.begin())].Add(1);
    nanoseconds_.fetch_add(nanoseconds, std::memory_order_relaxed);
  }

  // As Count has it.
  uint64_t TakeBucket(size_t bucket) { return buckets_[bucket].Take(); }
  int64_t TakeNanoseconds() {
    return nanoseconds_.exchange(0, std::memory_order_relaxed);
  }

 private:
  std::array<Count, kBuckets> buckets_;
  std::atomic<int64_t> nanoseconds_{0};
};

// The number of the calling thread, from 0.
inline size_t ThreadNumber() {
  static std::atomic<size_t> next{0};
  thread_local const size_t number =
      next.fetch_add(1, std::memory_order_relaxed);
  return number;
}

// Several `Counts`, so that threads seldom write to one cache line: a line that
// two cores write in turn costs each of them more than all else about a count.
template <typename Counts>
class Striped {
 public:
  // The calling thread's.
  Counts& mine() { return stripes_[ThreadNumber() % kStripes].counts; }

  // Calls f(counts) for all.
  template <typename F>
  void ForEach(F f) {
    for (Stripe& stripe : stripes_) f(stripe.counts);
  }

 private:
  static constexpr size_t kStripes = 16;
  struct alignas(64) Stripe {
    Counts counts;
  };

  std::array<Stripe, kStripes> stripes_;
};

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_TELEMETRY_STRIPED_H_

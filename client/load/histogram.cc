#include "client/load/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace halfstep::load {
namespace {

// Buckets of a power of two: 2^kBits.
constexpr int kBits = 9;

int ShiftOf(uint64_t latency) {
  return std::max(0, static_cast<int>(std::bit_width(latency)) - (kBits + 1));
}

// Consecutive over the powers of two: after the 2^10 exact buckets, 2^9 for
// each further bit.
size_t BucketOf(uint64_t latency) {
  const int shift = ShiftOf(latency);
  return (static_cast<size_t>(shift) << kBits) +
         static_cast<size_t>(latency >> shift);
}

// The middle of a bucket.
int64_t MiddleOf(size_t bucket) {
  const size_t shift = std::max<size_t>(bucket >> kBits, 1) - 1;
  const uint64_t lowest = (bucket - (shift << kBits)) << shift;
  return static_cast<int64_t>(lowest + ((uint64_t{1} << shift) >> 1));
}

}  // namespace

LatencyHistogram::LatencyHistogram()
    : counts_(BucketOf(static_cast<uint64_t>(kLargestNs)) + 1) {}

void LatencyHistogram::Record(int64_t latency_ns) {
  latency_ns = std::max<int64_t>(latency_ns, 0);
  const int64_t bounded = std::min(latency_ns, kLargestNs);
  ++counts_[BucketOf(static_cast<uint64_t>(bounded))];
  ++count_;
  sum_ns_ += static_cast<double>(latency_ns);
  min_ns_ = std::min(min_ns_, latency_ns);
  max_ns_ = std::max(max_ns_, latency_ns);
}

void LatencyHistogram::Merge(const LatencyHistogram& other) {
  for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
  count_ += other.count_;
  sum_ns_ += other.sum_ns_;
  min_ns_ = std::min(min_ns_, other.min_ns_);
  max_ns_ = std::max(max_ns_, other.max_ns_);
}

double LatencyHistogram::mean() const {
  return count_ == 0 ? 0 : sum_ns_ / static_cast<double>(count_);
}

int64_t LatencyHistogram::Quantile(double quantile) const {
  if (count_ == 0) return 0;
  // 0.07 * 100 is 7.000000000000001: without the small step back, rank 8.
  const double wanted = std::ceil(quantile * static_cast<double>(count_) *
                                  (1 - 4 * 2.220446049250313e-16));
  const uint64_t rank =
      std::clamp<uint64_t>(static_cast<uint64_t>(wanted), 1, count_);
  if (rank == count_) return max_ns_;
  uint64_t seen = 0;
  for (size_t bucket = 0; bucket < counts_.size(); ++bucket) {
    seen += counts_[bucket];
    if (seen >= rank) return std::clamp(MiddleOf(bucket), min_ns_, max_ns_);
  }
  return max_ns_;
}

}  // namespace halfstep::load

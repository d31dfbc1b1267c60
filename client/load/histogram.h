// A log-linear histogram of latencies.
//
// Latencies below 2^10 ns have a bucket each. Above, every power of two is cut
// into 2^9 buckets of one width, so that a bucket is at most 2^-9 of its lower
// end wide, and its middle at most 2^-10 (0.1 %) away from any latency in it.
#ifndef HALFSTEP_CLIENT_LOAD_HISTOGRAM_H_
#define HALFSTEP_CLIENT_LOAD_HISTOGRAM_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace halfstep::load {

// Copies are independent. Not thread-safe. Allocates when constructed only:
// 140 KiB.
class LatencyHistogram {
 public:
  // Of what Quantile returns, against the latency that has that rank.
  static constexpr double kRelativeError = 1.0 / 1024;
  // 2.4 hours. Larger latencies are counted as this one; max() stays exact.
  static constexpr int64_t kLargestNs = (int64_t{1} << 43) - 1;

  LatencyHistogram();

  // Negative latencies count as 0.
  void Record(int64_t latency_ns);

  // Adds all latencies of `other`.
  void Merge(const LatencyHistogram& other);

  uint64_t count() const { return count_; }
  // Exact; 0 if empty.
  int64_t min() const { return count_ == 0 ? 0 : min_ns_; }
  int64_t max() const { return max_ns_; }
  double mean() const;

  // The latency of rank max(1, ceil(quantile * count())), in ns: the smallest
  // one that at least this share does not exceed. Within kRelativeError, and
  // exact for quantile = 1. 0 if empty. `quantile` is in [0, 1].
  int64_t Quantile(double quantile) const;

 private:
  std::vector<uint64_t> counts_;
  uint64_t count_ = 0;
  double sum_ns_ = 0;
  int64_t min_ns_ = INT64_MAX;
  int64_t max_ns_ = 0;
};

}  // namespace halfstep::load

#endif  // HALFSTEP_CLIENT_LOAD_HISTOGRAM_H_

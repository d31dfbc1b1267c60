#include "core/calibration_ranges.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error_report.h"
#include "core/pair_table.h"

namespace halfstep {
namespace {

template <typename T>
ScalePair PairAs(const Spec& spec, const RealRange& range) {
  const auto nearest = [](double real) {
    constexpr double kLargest = std::numeric_limits<T>::max();
    return static_cast<T>(std::clamp(real, -kLargest, kLargest));
  };
  const T low = nearest(range.low);
  const T high = nearest(range.high);
  T scale;
  int32_t zero_point = 0;
  const kernels::RangeRule<T> rule = RuleOf<T>(spec);
  kernels::ChooseParameters(rule, &low, &high, 1, &scale,
                            rule.symmetric ? nullptr : &zero_point);
  return {.scale = static_cast<double>(scale), .zero_point = zero_point};
}

// The real of each rank, counted from 0, as if those of a piece were evenly
// spaced. Ranks are asked for in ascending order.
class RankReader {
 public:
  explicit RankReader(absl::Span<const DensityPiece> pieces)
      : pieces_(pieces) {}

  double At(double rank) {
    while (at_ + 1 < pieces_.size() && rank >= before_ + pieces_[at_].count) {
      before_ += pieces_[at_++].count;
    }
    const DensityPiece& piece = pieces_[at_];
    const double share =
        std::clamp((rank - before_ + 0.5) / piece.count, 0.0, 1.0);
    return piece.low + (piece.high - piece.low) * share;
  }

 private:
  absl::Span<const DensityPiece> pieces_;
  size_t at_ = 0;
  double before_ = 0;  // reals in the pieces before
};

// --- Entropy.

constexpr size_t kBins = 2048;

// x ln x up to the base of the logarithm, which divergences share.
double XLogX(double x) { return x > 0 ? x * FixedLog10(x) : 0; }

// Sums over the first i bins, for every i.
struct BinSums {
  double reals[kBins + 1];
  double x_log_x[kBins + 1];
  size_t filled[kBins + 1];  // bins that are not empty
};

std::vector<double> BinsOf(absl::Span<const DensityPiece> magnitudes,
                           double largest) {
  std::vector<double> bins(kBins, 0);
  const double per_bin = largest / kBins;
  for (const DensityPiece& piece : magnitudes) {
    const double first = std::min(piece.low / per_bin, kBins - 1.0);
    const double last = std::min(piece.high / per_bin, kBins * 1.0);
    const auto begin = static_cast<size_t>(first);
    if (last - first <= 0 || last <= static_cast<double>(begin + 1)) {
      bins[begin] += piece.count;
      continue;
    }
    const double density = piece.count / (last - first);
    for (size_t i = begin; i < kBins && static_cast<double>(i) < last; ++i) {
      const double low = std::max(first, static_cast<double>(i));
      const double high = std::min(last, static_cast<double>(i + 1));
      bins[i] += density * (high - low);
    }
  }
  return bins;
}

// The divergence of bins [0, count), with all above added to the last of them,
// from the same bins merged into `levels` and spread again over those of each
// level that are not empty. Infinite where that leaves a bin of reals empty.
double Divergence(absl::Span<const double> bins, const BinSums& sums,
                  size_t count, size_t levels) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const double total = sums.reals[kBins];
  const double outliers = total - sums.reals[count];
  const double last = bins[count - 1];
  const double kept = sums.reals[count];
  if ((last == 0 && outliers > 0) || kept == 0) return kInfinity;
  // sum p ln(p / q) with p = P / total and q = Q / kept.
  double divergence = sums.x_log_x[count - 1] + XLogX(last + outliers) -
                      total * FixedLog10(total) + total * FixedLog10(kept);
  for (size_t level = 0; level < levels; ++level) {
    const size_t begin = level * count / levels;
    const size_t end = (level + 1) * count / levels;
    const double reals = sums.reals[end] - sums.reals[begin];
    const size_t filled = sums.filled[end] - sums.filled[begin];
    if (filled == 0) continue;
    const double spread = reals / static_cast<double>(filled);
    const double here = end == count ? reals + outliers : reals;
    divergence -= here * FixedLog10(spread);
  }
  return divergence;
}

}  // namespace

ScalePair PairForRange(const Spec& spec, DataType dtype,
                       const RealRange& range) {
  return IsDoubleArithmetic(spec, dtype) ? PairAs<double>(spec, range)
                                         : PairAs<float>(spec, range);
}

double Quantile(absl::Span<const DensityPiece> pieces, double quantile) {
  double count = 0;
  for (const DensityPiece& piece : pieces) count += piece.count;
  const double position = quantile * (count - 1);
  const double rank = std::floor(position);
  RankReader reader(pieces);
  const double below = reader.At(rank);
  const double above = reader.At(std::min(rank + 1, count - 1));
  return below + (above - below) * (position - rank);
}

RealRange PercentileRange(absl::Span<const DensityPiece> pieces,
                          double quantile, bool symmetric) {
  if (symmetric) {
    const double magnitude = Quantile(MagnitudesOf(pieces), quantile);
    return {-magnitude, magnitude};
  }
  const double left_out = (1 - quantile) / 2;
  return {Quantile(pieces, left_out), Quantile(pieces, 1 - left_out)};
}

double LeastDivergenceThreshold(absl::Span<const DensityPiece> magnitudes,
                                uint32_t bits) {
  const double largest = magnitudes.back().high;
  if (largest / kBins == 0) return largest;
  const std::vector<double> bins = BinsOf(magnitudes, largest);
  BinSums sums;
  sums.reals[0] = 0;
  sums.x_log_x[0] = 0;
  sums.filled[0] = 0;
  for (size_t i = 0; i < kBins; ++i) {
    sums.reals[i + 1] = sums.reals[i] + bins[i];
    sums.x_log_x[i + 1] = sums.x_log_x[i] + XLogX(bins[i]);
    sums.filled[i + 1] = sums.filled[i] + (bins[i] > 0 ? 1 : 0);
  }
  const size_t levels = size_t{1} << (bits - 1);
  double least = std::numeric_limits<double>::infinity();
  size_t best = kBins;
  for (size_t count = levels; count <= kBins; ++count) {
    const double divergence = Divergence(bins, sums, count, levels);
    if (divergence < least) {
      least = divergence;
      best = count;
    }
  }
  // The last bin's middle, as published; all of it where nothing is left out.
  if (best == kBins) return largest;
  return (static_cast<double>(best) + 0.5) * (largest / kBins);
}

}  // namespace halfstep

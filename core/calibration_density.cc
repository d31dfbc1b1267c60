#include "core/calibration_density.h"

#include <algorithm>
#include <cmath>

namespace halfstep {
namespace {

// Round half to even for |x| < 2^51, which steps within a code range are.
double RoundEven(double x) {
  constexpr double kMagic = 0x1.8p52;
  return (x + kMagic) - kMagic;
}

double Cube(double x) { return x * x * x; }

// A bucket's reals within [min, max], lower end first.
DensityPiece PieceOf(const CalibrationBucket& bucket, double min, double max) {
  const double start = BucketStart(bucket.key);
  const double end = BucketStart(bucket.key + (bucket.key < 0 ? -1 : 1));
  double low = std::min(start, end);
  double high = std::max(start, end);
  if (bucket.key == 0) {
    low = -high;  // both signs
  }
  return {std::clamp(low, min, max), std::clamp(high, min, max),
          static_cast<double>(bucket.count)};
}

}  // namespace

std::vector<DensityPiece> DensityOf(const CalibrationSummary& summary,
                                    DataType dtype) {
  std::vector<DensityPiece> pieces;
  pieces.reserve(summary.buckets.size() + 2);
  const bool exact = dtype == DataType::kBFloat16;
  for (size_t i = 0; i < summary.buckets.size(); ++i) {
    const CalibrationBucket& bucket = summary.buckets[i];
    if (exact) {
      const double real =
          std::clamp(BucketStart(bucket.key), summary.min, summary.max);
      pieces.push_back({real, real, static_cast<double>(bucket.count)});
      continue;
    }
    DensityPiece piece = PieceOf(bucket, summary.min, summary.max);
    // One real is the minimum itself, one the maximum.
    const bool has_min = i == 0;
    const bool has_max =
        i + 1 == summary.buckets.size() && (bucket.count > 1 || !has_min);
    if (has_min) {
      pieces.push_back({summary.min, summary.min, 1});
      piece.count -= 1;
    }
    if (has_max) piece.count -= 1;
    if (piece.count > 0) pieces.push_back(piece);
    if (has_max) pieces.push_back({summary.max, summary.max, 1});
  }
  return pieces;
}

std::vector<DensityPiece> MagnitudesOf(absl::Span<const DensityPiece> pieces) {
  std::vector<DensityPiece> magnitudes;
  magnitudes.reserve(pieces.size());
  for (const DensityPiece& piece : pieces) {
    if (piece.low < 0 && piece.high > 0) {
      // Only the bucket of 0 has both signs: below 2^-133.
      magnitudes.push_back({0, std::max(-piece.low, piece.high), piece.count});
    } else if (piece.high <= 0) {
      magnitudes.push_back({-piece.high, -piece.low, piece.count});
    } else {
      magnitudes.push_back(piece);
    }
  }
  std::sort(magnitudes.begin(), magnitudes.end(),
            [](const DensityPiece& a, const DensityPiece& b) {
              return a.high != b.high ? a.high < b.high : a.low < b.low;
            });
  return magnitudes;
}

// Means over the reals of a piece: of e^2, |e|, r^2 and r e.
struct ModelQuantizer::Moments {
  double squared_error = 0;
  double absolute_error = 0;
  double squared_real = 0;
  double product_error = 0;
};

ModelQuantizer::ModelQuantizer(const Spec& spec, const ScalePair& pair)
    : scale_(pair.scale), inverse_scale_(1 / pair.scale) {
  const CodeRange range = CodeRangeOf(spec);
  low_ = low_end_ =
      pair.scale * static_cast<double>(range.quant_min - pair.zero_point);
  high_ = high_end_ =
      pair.scale * static_cast<double>(range.quant_max - pair.zero_point);
  if (!spec.clamp.has_value()) return;
  // Beyond the clamp every real is coded as the bound is.
  if (spec.clamp->min.has_value() && *spec.clamp->min > low_end_) {
    low_end_ = *spec.clamp->min;
    low_ = std::min(Round(low_end_), high_);
  }
  if (spec.clamp->max.has_value() && *spec.clamp->max < high_end_) {
    high_end_ = *spec.clamp->max;
    high_ = std::max(Round(high_end_), low_);
  }
  high_end_ = std::max(high_end_, low_end_);
}

double ModelQuantizer::Round(double real) const {
  return RoundEven(real / scale_) * scale_;
}

ModelQuantizer::Moments ModelQuantizer::Constant(double low, double high,
                                                 double reconstructed) const {
  const double middle = low + (high - low) / 2;
  const double spread = (high - low) * (high - low) / 12;
  const double error = middle - reconstructed;
  Moments moments;
  moments.squared_error = error * error + spread;
  const double low_error = low - reconstructed;
  const double high_error = high - reconstructed;
  moments.absolute_error =
      low_error < 0 && high_error > 0
          ? (low_error * low_error + high_error * high_error) /
                (2 * (high - low))
          : std::fabs(error);
  moments.squared_real = middle * middle + spread;
  moments.product_error = moments.squared_real - reconstructed * middle;
  return moments;
}

// With u = real / scale = n + r, n whole and r in [-1/2, 1/2], the integrals
// over u of r^2, |r| and u r have closed forms: a whole step gives 1/12, 1/4
// and 1/12, and what is left at both ends is a polynomial of n and r.
ModelQuantizer::Moments ModelQuantizer::Rounded(double low, double high) const {
  const double a = low / scale_;
  const double b = high / scale_;
  const double na = RoundEven(a);
  const double nb = RoundEven(b);
  if (na == nb) return Constant(low, high, na * scale_);
  const double ra = a - na;
  const double rb = b - nb;
  const double width = b - a;
  const double steps = nb - na;
  const double cubes = (Cube(rb) - Cube(ra)) / 3;
  const auto linear = [](double n, double r) { return n * (r * r - 0.25) / 2; };
  Moments moments = Constant(low, high, 0);
  moments.squared_error = (steps / 12 + cubes) / width * scale_ * scale_;
  moments.absolute_error =
      (steps / 4 + (rb * std::fabs(rb) - ra * std::fabs(ra)) / 2) / width *
      scale_;
  moments.product_error =
      (steps / 12 + linear(nb, rb) - linear(na, ra) + cubes) / width * scale_ *
      scale_;
  return moments;
}

ModelQuantizer::Moments ModelQuantizer::MomentsOf(double low,
                                                  double high) const {
  if (high <= low_end_) return Constant(low, high, low_);
  if (low >= high_end_) return Constant(low, high, high_);
  if (low >= low_end_ && high <= high_end_) return Rounded(low, high);
  // A piece that straddles an end: each part by its share.
  const double cut = low < low_end_ ? low_end_ : high_end_;
  const double share = (cut - low) / (high - low);
  const Moments left = MomentsOf(low, cut);
  const Moments right = MomentsOf(cut, high);
  const auto mix = [share](double l, double r) {
    return l * share + r * (1 - share);
  };
  Moments moments;
  moments.squared_error = mix(left.squared_error, right.squared_error);
  moments.absolute_error = mix(left.absolute_error, right.absolute_error);
  moments.squared_real = mix(left.squared_real, right.squared_real);
  moments.product_error = mix(left.product_error, right.product_error);
  return moments;
}

double ModelQuantizer::SquaredErrorOf(double low, double high) const {
  const double middle = low + (high - low) / 2;
  const double spread = (high - low) * (high - low) / 12;
  double reconstructed;
  if (high <= low_end_) {
    reconstructed = low_;
  } else if (low >= high_end_) {
    reconstructed = high_;
  } else if (low >= low_end_ && high <= high_end_) {
    const double a = low * inverse_scale_;
    const double b = high * inverse_scale_;
    const double na = RoundEven(a);
    const double nb = RoundEven(b);
    if (na != nb) {
      return ((nb - na) / 12 + (Cube(b - nb) - Cube(a - na)) / 3) / (b - a) *
             scale_ * scale_;
    }
    reconstructed = na * scale_;
  } else {
    return MomentsOf(low, high).squared_error;
  }
  const double error = middle - reconstructed;
  return error * error + spread;
}

double ModelQuantizer::SquaredError(
    absl::Span<const DensityPiece> pieces) const {
  double sum = 0;
  for (const DensityPiece& piece : pieces) {
    sum += piece.count * SquaredErrorOf(piece.low, piece.high);
  }
  return sum;
}

kernels::ErrorSums ModelQuantizer::Errors(absl::Span<const DensityPiece> pieces,
                                          uint64_t count) const {
  kernels::ErrorSums sums;
  sums.element_count = count;
  for (const DensityPiece& piece : pieces) {
    const Moments mean = MomentsOf(piece.low, piece.high);
    sums.squared_error[0] += piece.count * mean.squared_error;
    sums.absolute_error[0] += piece.count * mean.absolute_error;
    sums.squared_real[0] += piece.count * mean.squared_real;
    // d = r - e
    sums.product[0] += piece.count * (mean.squared_real - mean.product_error);
    sums.squared_reconstructed[0] +=
        piece.count *
        (mean.squared_real - 2 * mean.product_error + mean.squared_error);
    // The largest error that the piece can hold: at its ends, or half a step if
    // it reaches a tie.
    double largest = std::max(MomentsOf(piece.low, piece.low).absolute_error,
                              MomentsOf(piece.high, piece.high).absolute_error);
    if (piece.low >= low_end_ && piece.high <= high_end_ &&
        RoundEven(piece.low / scale_) != RoundEven(piece.high / scale_)) {
      largest = std::max(largest, scale_ / 2);
    }
    sums.max_absolute_error = std::max(sums.max_absolute_error, largest);
  }
  return sums;
}

}  // namespace halfstep

// The search for the scale and zero point with the least expected squared
// error.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "core/calibration_ranges.h"

namespace halfstep {
namespace {

// Scales per octave and octaves of the first, coarse pass.
constexpr int kStepsPerOctave = 8;
constexpr int kOctaves = 20;
constexpr int kZeroPointsMax = 33;
// The best of the coarse pass, from each of which a finer search starts.
constexpr size_t kStarts = 3;
// Pieces that the coarse pass takes together: its scales are further apart than
// their width.
constexpr size_t kCoarsePieces = 4;
// A finer search ends when its step is this small.
constexpr double kStepMin = 1.0005;
// Scales of the last pass, in (1 +- kLastReach) times the best.
constexpr int kLastScales = 60;
constexpr double kLastReach = 0.15;
constexpr uint32_t kLatticeBitsMax = 8;
// By how much a pair must be better than that of the whole range.
constexpr double kKeepWhole = 0.995;

struct Candidate {
  double scale = 0;
  double zero_point = 0;
  double error = std::numeric_limits<double>::infinity();
};

// Neighbouring pieces of no more than an octave as one.
std::vector<DensityPiece> Thinned(absl::Span<const DensityPiece> pieces) {
  std::vector<DensityPiece> thin;
  size_t together = 0;
  for (const DensityPiece& piece : pieces) {
    if (together != 0 && together < kCoarsePieces &&
        piece.low == thin.back().high && piece.low != piece.high) {
      thin.back().high = piece.high;
      thin.back().count += piece.count;
      ++together;
    } else {
      thin.push_back(piece);
      together = piece.low == piece.high ? 0 : 1;
    }
  }
  return thin;
}

class Search {
 public:
  Search(const Spec& spec, DataType dtype,
         absl::Span<const DensityPiece> pieces, const RealRange& whole)
      : spec_(spec), dtype_(dtype), pieces_(pieces), thin_(Thinned(pieces)) {
    const CodeRange codes = CodeRangeOf(spec);
    quant_min_ = static_cast<double>(codes.quant_min);
    quant_max_ = static_cast<double>(codes.quant_max);
    const ScalePair pair = PairForRange(spec, dtype, whole);
    whole_ = {.scale = pair.scale,
              .zero_point = static_cast<double>(pair.zero_point),
              .error = ModelQuantizer(spec, pair).SquaredError(pieces)};
    low_ = pair.scale * (quant_min_ - whole_.zero_point);
    high_ = pair.scale * (quant_max_ - whole_.zero_point);
  }

  ScalePair Run() {
    if (whole_.error == 0 || MayLieOnCodes()) return PairOf(whole_);
    Coarse();
    Candidate best = whole_;
    for (const Candidate& start : starts_) {
      if (start.scale == 0) continue;
      Keep(Refine(Try(start.scale, start.zero_point, pieces_)), best);
    }
    Last(best);
    if (!(best.error < kKeepWhole * whole_.error)) best = whole_;
    return PairOf(best);
  }

 private:
  // Whether every real may be the reconstruction of a code of the whole range,
  // as whole numbers and reals that were quantized before are: then nothing is
  // lost, whatever the density says. With more bits than kLatticeBitsMax,
  // buckets hold several codes each, and tell nothing.
  bool MayLieOnCodes() const {
    if (spec_.bits > kLatticeBitsMax) return false;
    return std::all_of(
        pieces_.begin(), pieces_.end(), [this](const DensityPiece& piece) {
          const double rounding =
              std::max(std::fabs(piece.low), std::fabs(piece.high)) * 0x1p-22;
          return std::floor((piece.high + rounding) / whole_.scale) >=
                 std::ceil((piece.low - rounding) / whole_.scale);
        });
  }

  // Through the range that the pair spans, so that every rule of the profile
  // applies: what is measured is what static quantization will do.
  ScalePair PairOf(const Candidate& candidate) const {
    if (candidate.scale == whole_.scale &&
        candidate.zero_point == whole_.zero_point) {
      return {.scale = whole_.scale,
              .zero_point = static_cast<int32_t>(whole_.zero_point)};
    }
    if (spec_.scheme == Scheme::kSymmetric) {
      return PairForRange(
          spec_, dtype_,
          {-candidate.scale * quant_max_, candidate.scale * quant_max_});
    }
    return PairForRange(
        spec_, dtype_,
        {candidate.scale * (quant_min_ - candidate.zero_point),
         candidate.scale * (quant_max_ - candidate.zero_point)});
  }

  Candidate Try(double scale, double zero_point,
                absl::Span<const DensityPiece> pieces) const {
    Candidate candidate = {.scale = scale, .zero_point = zero_point};
    candidate.error =
        ModelQuantizer(spec_, PairOf(candidate)).SquaredError(pieces);
    return candidate;
  }

  static void Keep(const Candidate& candidate, Candidate& best) {
    if (candidate.error < best.error) best = candidate;
  }

  // The zero points that keep the codes of `scale` within the whole range.
  RealRange ZeroPoints(double scale) const {
    if (spec_.scheme == Scheme::kSymmetric) return {0, 0};
    // high_ / scale is largest where all the room is above: then the lowest
    // code is low_.
    const double most = std::ceil(quant_min_ - low_ / scale);
    const double least = std::floor(quant_max_ - high_ / scale);
    if (spec_.profile == Profile::kNotebook) return {least, most};
    return {std::clamp(least, quant_min_, quant_max_),
            std::clamp(most, quant_min_, quant_max_)};
  }

  void Coarse() {
    const double ratio = std::sqrt(std::sqrt(std::sqrt(2.0)));
    double scale = whole_.scale;
    for (int i = 0; i <= kOctaves * kStepsPerOctave; ++i, scale /= ratio) {
      const RealRange zero_points = ZeroPoints(scale);
      const double width = zero_points.high - zero_points.low;
      const int count =
          static_cast<int>(std::min<double>(width + 1, kZeroPointsMax));
      Candidate best;
      for (int j = 0; j < count; ++j) {
        const double share = count == 1 ? 0 : j / (count - 1.0);
        Keep(Try(scale, std::round(zero_points.low + width * share), thin_),
             best);
      }
      // One per scale, so that starts lie apart.
      auto worst = std::max_element(starts_.begin(), starts_.end(),
                                    [](const Candidate& a, const Candidate& b) {
                                      return a.error < b.error;
                                    });
      Keep(best, *worst);
    }
  }

  // Steps to the best neighbour while there is a better one, then halves the
  // steps.
  Candidate Refine(Candidate at) const {
    const bool symmetric = spec_.scheme == Scheme::kSymmetric;
    double ratio = std::sqrt(std::sqrt(std::sqrt(std::sqrt(2.0))));
    const RealRange zero_points = ZeroPoints(at.scale);
    double shift =
        symmetric
            ? 0
            : std::max(1.0, std::round((zero_points.high - zero_points.low) /
                                       kZeroPointsMax));
    while (ratio > kStepMin) {
      Candidate best = at;
      for (const double scale :
           {at.scale / ratio, at.scale, at.scale * ratio}) {
        for (const double step : {-shift, 0.0, shift}) {
          if (symmetric && step != 0) continue;
          Keep(Try(scale, at.zero_point + step, pieces_), best);
        }
      }
      if (best.error < at.error) {
        at = best;
      } else {
        ratio = std::sqrt(ratio);
        shift = symmetric ? 0 : std::max(1.0, std::round(shift / 2));
      }
    }
    return at;
  }

  // With few codes the error is jagged in the scale: a last look around.
  void Last(Candidate& best) const {
    const Candidate middle = best;
    for (int i = -kLastScales; i <= kLastScales; ++i) {
      const double scale = middle.scale * (1 + kLastReach * i / kLastScales);
      for (const double step : {-1.0, 0.0, 1.0}) {
        if (step != 0 && spec_.scheme == Scheme::kSymmetric) continue;
        Keep(Try(scale, middle.zero_point + step, pieces_), best);
      }
    }
  }

  const Spec& spec_;
  const DataType dtype_;
  const absl::Span<const DensityPiece> pieces_;
  const std::vector<DensityPiece> thin_;
  double quant_min_;
  double quant_max_;
  Candidate whole_;
  // What the codes of the whole range reach.
  double low_;
  double high_;
  std::array<Candidate, kStarts> starts_;
};

}  // namespace

ScalePair LeastSquaredErrorPair(const Spec& spec, DataType dtype,
                                absl::Span<const DensityPiece> pieces,
                                const RealRange& whole) {
  return Search(spec, dtype, pieces, whole).Run();
}

}  // namespace halfstep

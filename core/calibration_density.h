// The reals of a summary as a density, and what a quantizer would lose on it.
//
// Within a bucket the density is uniform; one real lies on each exact extreme.
// BFLOAT16 reals are the starts of their buckets: there nothing is guessed.
#ifndef HALFSTEP_CORE_CALIBRATION_DENSITY_H_
#define HALFSTEP_CORE_CALIBRATION_DENSITY_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "core/calibration.h"
#include "core/data_type.h"
#include "core/kernels/statistics.h"
#include "core/spec.h"

namespace halfstep {

// `count` reals spread evenly over [low, high]; all at one point if low = high.
struct DensityPiece {
  double low;
  double high;
  double count;
};

// The pieces of `summary` in ascending order, for data of `dtype`.
std::vector<DensityPiece> DensityOf(const CalibrationSummary& summary,
                                    DataType dtype);

// The same for the magnitudes of the reals.
std::vector<DensityPiece> MagnitudesOf(absl::Span<const DensityPiece> pieces);

// A scale and zero point, as they act on reals.
struct ScalePair {
  double scale = 1;
  int32_t zero_point = 0;
};

// Rounding to multiples of scale between two ends, beyond which every real has
// one reconstruction.
class ModelQuantizer {
 public:
  // `spec` is resolved, with integer codes.
  ModelQuantizer(const Spec& spec, const ScalePair& pair);

  // The expected sum of e^2. Deterministic: one order of IEEE operations.
  double SquaredError(absl::Span<const DensityPiece> pieces) const;

  // The expected error sums of `count` reals, in the first accumulators.
  kernels::ErrorSums Errors(absl::Span<const DensityPiece> pieces,
                            uint64_t count) const;

 private:
  // Expectations for a real of one piece.
  struct Moments;
  Moments MomentsOf(double low, double high) const;
  Moments Constant(double low, double high, double reconstructed) const;
  Moments Rounded(double low, double high) const;
  double SquaredErrorOf(double low, double high) const;
  double Round(double real) const;

  double scale_;
  double inverse_scale_;  // the search divides by nothing else
  // Reals at or below low_end_ become low_; those at or above high_end_, high_.
  double low_end_;
  double low_;
  double high_end_;
  double high_;
};

}  // namespace halfstep

#endif  // HALFSTEP_CORE_CALIBRATION_DENSITY_H_

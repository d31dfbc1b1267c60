// Ranges chosen from a density: by percentile, by least squared error, by least
// Kullback-Leibler divergence.
//
// All are deterministic: fixed sequences of IEEE operations, logarithms ours.
#ifndef HALFSTEP_CORE_CALIBRATION_RANGES_H_
#define HALFSTEP_CORE_CALIBRATION_RANGES_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "core/calibration_density.h"
#include "core/data_type.h"
#include "core/spec.h"

namespace halfstep {

struct RealRange {
  double low;
  double high;
};

// The pair that dynamic quantization under `spec`, resolved, would choose for
// reals of `dtype` in `range`.
ScalePair PairForRange(const Spec& spec, DataType dtype,
                       const RealRange& range);

// The real below which the share `quantile`, in [0, 1], of the reals lies, with
// NumPy's linear interpolation between neighbours: no more than a bucket away
// from numpy.quantile. `pieces` are not empty and in ascending order.
double Quantile(absl::Span<const DensityPiece> pieces, double quantile);

// Leaves out the share 1 - `quantile`, half of it at each end; by magnitude if
// symmetric.
RealRange PercentileRange(absl::Span<const DensityPiece> pieces,
                          double quantile, bool symmetric);

// The pair with the least expected squared error. Searches scales from that of
// the whole range down to 2^-20 of it, with every zero point (or, where there
// are many, 33 spread evenly) that keeps the codes within the range; then more
// finely around the best. The pair of the whole range is kept unless another
// one is better by more than 0.5 %, so that what the histogram does not know
// cannot make things worse; and, up to 8 bits, where all reals may lie on its
// codes: then it loses nothing.
ScalePair LeastSquaredErrorPair(const Spec& spec, DataType dtype,
                                absl::Span<const DensityPiece> pieces,
                                const RealRange& whole);

// The threshold of S. Migacz, "8-bit Inference with TensorRT", NVIDIA GTC 2017:
// of 2048 equal bins of magnitude, the number i whose distribution (with
// everything above in bin i) diverges least from itself merged into
// 2^(bits - 1) levels; the threshold is the middle of bin i. `bits` in [2, 8].
double LeastDivergenceThreshold(absl::Span<const DensityPiece> magnitudes,
                                uint32_t bits);

}  // namespace halfstep

#endif  // HALFSTEP_CORE_CALIBRATION_RANGES_H_

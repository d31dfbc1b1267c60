// What a pass over reals learns: ranges, non-finite elements and error sums.
//
// Reals may have any alignment. Nothing is allocated; no function fails. The
// results do not depend on the target.
#ifndef HALFSTEP_CORE_KERNELS_STATISTICS_H_
#define HALFSTEP_CORE_KERNELS_STATISTICS_H_

#include <cstddef>
#include <cstdint>

#include "core/kernels/run.h"

namespace halfstep::kernels {

// Widens low[pair] and high[pair] to the finite reals of each run. Begin with
// +infinity and -infinity. The sign of a zero is unspecified.
void WidenRanges(const float* reals, Runs runs, float* low, float* high);
void WidenRanges(const double* reals, Runs runs, double* low, double* high);

// Sums over the elements whose index is k mod 8, for each k, within a block of
// 65,536: one order of addition for every target (docs/numerics.md, section 7).
struct ErrorSums {
  double squared_error[8] = {};
  double absolute_error[8] = {};
  double squared_real[8] = {};
  double squared_reconstructed[8] = {};
  double product[8] = {};
  uint64_t element_count = 0;
  // Of the first element with the largest error; negative while there is none.
  double max_absolute_error = -1;
  uint64_t max_absolute_error_index = 0;
};

// Adds `count` elements, the first of which has index `first`, a multiple of 8.
// Elements where either side is not finite are left out.
void AddErrors(const float* reals, const float* reconstructed, size_t count,
               uint64_t first, ErrorSums* sums);
void AddErrors(const double* reals, const double* reconstructed, size_t count,
               uint64_t first, ErrorSums* sums);

}  // namespace halfstep::kernels

#endif  // HALFSTEP_CORE_KERNELS_STATISTICS_H_

// Error sums of blocks, added up in one order and turned into a report.
#ifndef HALFSTEP_CORE_ERROR_TOTALS_H_
#define HALFSTEP_CORE_ERROR_TOTALS_H_

#include <cstddef>
#include <cstdint>

#include "core/data_type.h"
#include "core/error_report.h"
#include "core/kernels/statistics.h"
#include "core/strips.h"

namespace halfstep {

class ErrorTotals {
 public:
  // Adds a block of kBlockElements elements (the last may be shorter). Blocks
  // come in the order of their indices.
  void AddBlock(const kernels::ErrorSums& block);

  // encoded_bytes is left at 0.
  ErrorReport Report() const;

 private:
  uint64_t element_count_ = 0;
  double squared_error_ = 0;
  double absolute_error_ = 0;
  double squared_real_ = 0;
  double squared_reconstructed_ = 0;
  double product_ = 0;
  double max_absolute_error_ = -1;
  uint64_t max_absolute_error_index_ = 0;
};

// Adds the errors of `count` reals of `dtype`, the first of which has index
// `first`, a multiple of 8. Uses scratch.compared.
void AddStripErrors(DataType dtype, const std::byte* reals,
                    const std::byte* reconstructed, size_t count,
                    uint64_t first, Scratch& scratch, kernels::ErrorSums* sums);

}  // namespace halfstep

#endif  // HALFSTEP_CORE_ERROR_TOTALS_H_

// What quantization lost, over the finite elements.
//
//   mean_squared_error = sum e^2 / N        sqnr_db = 10 log10(sum r^2 / sum
//   e^2) mean_absolute_error = sum |e| / N       cosine  = sum r d / (|r| |d|)
//
// Sums are taken in float64 in one fixed order (docs/numerics.md, section 7),
// so the same bits come back from every machine and any number of threads.
#ifndef HALFSTEP_CORE_ERROR_REPORT_H_
#define HALFSTEP_CORE_ERROR_REPORT_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "core/executor.h"
#include "core/tensor.h"

namespace halfstep {

struct ErrorReport {
  uint64_t element_count = 0;
  double mean_squared_error = 0;
  double mean_absolute_error = 0;
  double max_absolute_error = 0;
  uint64_t max_absolute_error_index = 0;
  double sqnr_db = 0;
  double cosine_similarity = 0;
  uint64_t encoded_bytes = 0;

  bool operator==(const ErrorReport&) const = default;
};

// Compares two tensors of one shape; an element where either side is not finite
// is left out. encoded_bytes stays 0: nothing was encoded.
//
// INVALID_ARGUMENT ("reconstructed.shape") if the shapes differ. CANCELLED or
// DEADLINE_EXCEEDED as `execution` says. Thread-safe.
absl::StatusOr<ErrorReport> MeasureError(const TensorView& original,
                                         const TensorView& reconstructed,
                                         const Execution& execution);

// log10 of a positive finite number as one fixed sequence of IEEE operations:
// the C library's changes its last bit with the processor. Error below 4 ulp.
double FixedLog10(double x);

}  // namespace halfstep

#endif  // HALFSTEP_CORE_ERROR_REPORT_H_

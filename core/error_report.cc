#include "core/error_report.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/error_totals.h"
#include "core/field_error.h"
#include "core/strips.h"

namespace halfstep {
namespace {

// Two tensors' elements [first, end). Their types may differ: both are compared
// as the wider of float32 and theirs.
void CompareBlock(const TensorView& original, const TensorView& reconstructed,
                  size_t first, size_t end, kernels::ErrorSums* sums) {
  Scratch& scratch = Scratch::Get();
  const size_t size = ByteSize(original.dtype);
  const size_t other_size = ByteSize(reconstructed.dtype);
  while (first < end) {
    const Strip strip = StripOf(original.reals, size, first,
                                std::min(end - first, kStripElements), scratch);
    // The other side is cut elsewhere: gathered where it is.
    const std::byte* other = reconstructed.reals.Contiguous(
        first * other_size, strip.count * other_size, scratch.reconstructed);
    if (original.dtype == DataType::kFloat64 ||
        reconstructed.dtype == DataType::kFloat64) {
      kernels::AddErrors(Widened<double>(original.dtype, strip.data,
                                         strip.count, scratch.compared[0]),
                         Widened<double>(reconstructed.dtype, other,
                                         strip.count, scratch.compared[1]),
                         strip.count, first, sums);
    } else {
      kernels::AddErrors(Widened<float>(original.dtype, strip.data, strip.count,
                                        scratch.compared[0]),
                         Widened<float>(reconstructed.dtype, other, strip.count,
                                        scratch.compared[1]),
                         strip.count, first, sums);
    }
    first += strip.count;
  }
}

}  // namespace

double FixedLog10(double x) {
  // x = m 2^e with m in [sqrt(1/2), sqrt(2)); log m = 2 atanh(f) with
  // f = (m - 1) / (m + 1), |f| < 0.172, whose series ends below 2^-54 of its
  // value after f^25. docs/numerics.md, section 7, has each step.
  int exponent;
  double mantissa = 2 * std::frexp(x, &exponent);  // in [1, 2), exact
  --exponent;
  if (mantissa >= 1.4142135623730951) {
    mantissa *= 0.5;
    ++exponent;
  }
  const double f = (mantissa - 1) / (mantissa + 1);
  const double s = f * f;
  double series = 1.0 / 25;
  for (int n = 23; n >= 1; n -= 2) series = series * s + 1.0 / n;
  const double log_m = (f + f) * series;
  // log10(2) as a head whose product with the exponent is exact, and a tail.
  constexpr double kLog10Of2Head = 0x1.34413509f7800p-2;
  constexpr double kLog10Of2Tail = 0x1.fef311f12b358p-46;
  constexpr double kLog10OfE = 0x1.bcb7b1526e50ep-2;
  return exponent * kLog10Of2Head +
         (exponent * kLog10Of2Tail + log_m * kLog10OfE);
}

absl::StatusOr<ErrorReport> MeasureError(const TensorView& original,
                                         const TensorView& reconstructed,
                                         const Execution& execution) {
  if (original.shape != reconstructed.shape) {
    return FieldError("reconstructed.shape",
                      "differs from original.shape; must be the same");
  }
  const absl::StatusOr<int64_t> elements = ElementCount(original.shape);
  if (!elements.ok()) return elements.status();
  const auto count = static_cast<size_t>(*elements);
  std::vector<kernels::ErrorSums> blocks((count + kBlockElements - 1) /
                                         kBlockElements);
  const absl::Status status = execution.ForEach(
      blocks.size(), kMeasuredBlocksTogether, [&](size_t block) {
        const size_t end = std::min(count, (block + 1) * kBlockElements);
        CompareBlock(original, reconstructed, block * kBlockElements, end,
                     &blocks[block]);
      });
  if (!status.ok()) return status;
  ErrorTotals totals;
  for (const kernels::ErrorSums& block : blocks) totals.AddBlock(block);
  return totals.Report();
}

}  // namespace halfstep

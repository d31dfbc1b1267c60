#include "core/error_totals.h"

#include <cmath>
#include <limits>

namespace halfstep {
namespace {

// Where sums overflow: one NaN, since processors differ in its sign.
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// The one order in which eight accumulators are added.
double Fold(const double (&a)[8]) {
  return ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]));
}

double SqnrDb(double squared_real, double squared_error) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (squared_error == 0) return kInfinity;
  if (squared_real == 0) return -kInfinity;
  const double ratio = squared_real / squared_error;
  // Sums past the range of float64, and their ratio, stay what IEEE 754 says.
  if (ratio == 0) return -kInfinity;
  if (std::isnan(ratio)) return kNan;  // infinity / infinity
  if (std::isinf(ratio)) return kInfinity;
  return 10 * FixedLog10(ratio);
}

double Cosine(double squared_real, double squared_reconstructed,
              double product) {
  if (squared_real == 0 && squared_reconstructed == 0) return 1;
  if (squared_real == 0 || squared_reconstructed == 0) return 0;
  const double cosine =
      product / (std::sqrt(squared_real) * std::sqrt(squared_reconstructed));
  return std::isnan(cosine) ? kNan : cosine;
}

}  // namespace

void ErrorTotals::AddBlock(const kernels::ErrorSums& block) {
  element_count_ += block.element_count;
  squared_error_ += Fold(block.squared_error);
  absolute_error_ += Fold(block.absolute_error);
  squared_real_ += Fold(block.squared_real);
  squared_reconstructed_ += Fold(block.squared_reconstructed);
  product_ += Fold(block.product);
  if (block.max_absolute_error > max_absolute_error_) {
    max_absolute_error_ = block.max_absolute_error;
    max_absolute_error_index_ = block.max_absolute_error_index;
  }
}

ErrorReport ErrorTotals::Report() const {
  ErrorReport report;
  report.element_count = element_count_;
  if (element_count_ == 0) return report;
  const auto count = static_cast<double>(element_count_);
  report.mean_squared_error = squared_error_ / count;
  report.mean_absolute_error = absolute_error_ / count;
  report.max_absolute_error = max_absolute_error_;
  report.max_absolute_error_index = max_absolute_error_index_;
  report.sqnr_db = SqnrDb(squared_real_, squared_error_);
  report.cosine_similarity =
      Cosine(squared_real_, squared_reconstructed_, product_);
  return report;
}

void AddStripErrors(DataType dtype, const std::byte* reals,
                    const std::byte* reconstructed, size_t count,
                    uint64_t first, Scratch& scratch,
                    kernels::ErrorSums* sums) {
  if (dtype == DataType::kFloat64) {
    kernels::AddErrors(reinterpret_cast<const double*>(reals),
                       reinterpret_cast<const double*>(reconstructed), count,
                       first, sums);
    return;
  }
  kernels::AddErrors(
      Widened<float>(dtype, reals, count, scratch.compared[0]),
      Widened<float>(dtype, reconstructed, count, scratch.compared[1]), count,
      first, sums);
}

}  // namespace halfstep

#include "core/parameters.h"

#include <cmath>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/field_error.h"
#include "core/slice_layout.h"
#include "core/tensor.h"

namespace halfstep {
namespace {

// `scale` rounded to T, the arithmetic's type; NaN if it cannot be a scale
// there. A conversion past T's range gives infinity (IEEE 754), which is not
// normal.
template <typename T>
double ScaleAs(double scale) {
  const T rounded = static_cast<T>(scale);
  return rounded > 0 && std::isnormal(rounded)
             ? static_cast<double>(rounded)
             : std::numeric_limits<double>::quiet_NaN();
}

absl::Status CheckCount(absl::string_view field, size_t count, uint64_t pairs) {
  if (count == pairs) return absl::OkStatus();
  return FieldError(field, absl::StrCat(count, " given; must be ", pairs,
                                        " for this shape and granularity"));
}

absl::Status ResolveScales(std::vector<double>& scales, bool is_double) {
  for (size_t i = 0; i < scales.size(); ++i) {
    const double given = scales[i];
    const double scale =
        is_double ? ScaleAs<double>(given) : ScaleAs<float>(given);
    if (std::isnan(scale)) {
      return FieldError(
          absl::StrCat("scale[", i, "]"),
          absl::StrCat(given, "; must be finite, positive and normal in ",
                       is_double ? "float64" : "float32"));
    }
    scales[i] = scale;
  }
  return absl::OkStatus();
}

absl::Status CheckZeroPoints(const Spec& spec,
                             absl::Span<const int32_t> zero_points,
                             uint64_t pairs) {
  if (spec.scheme == Scheme::kSymmetric) {
    if (zero_points.empty()) return absl::OkStatus();
    return FieldError("zero_point",
                      absl::StrCat(zero_points.size(),
                                   " given; must be empty if the scheme is "
                                   "SYMMETRIC"));
  }
  const absl::Status status =
      CheckCount("zero_point", zero_points.size(), pairs);
  if (!status.ok() || spec.profile == Profile::kNotebook) return status;
  const CodeRange range = CodeRangeOf(spec);
  for (size_t i = 0; i < zero_points.size(); ++i) {
    const int32_t zero_point = zero_points[i];
    if (zero_point < range.quant_min || zero_point > range.quant_max) {
      return FieldError(
          absl::StrCat("zero_point[", i, "]"),
          absl::StrCat(zero_point, "; must be in [", range.quant_min, ", ",
                       range.quant_max, "]"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Parameters> ResolveParameters(const Parameters& given,
                                             DataType dtype,
                                             absl::Span<const int64_t> shape,
                                             uint64_t pairs_max) {
  const absl::StatusOr<Spec> spec = Resolve(given.spec, dtype, shape.size());
  if (!spec.ok()) return UnderField("spec", spec.status());
  uint64_t pairs = 0;
  if (!HasFloatCodes(*spec)) {
    pairs = PairCount(spec->granularity, shape);
    if (pairs > pairs_max) {
      return LimitError("spec.granularity",
                        absl::StrCat(pairs,
                                     " pairs of scale and zero point; "
                                     "must be at most ",
                                     pairs_max));
    }
  }
  Parameters resolved = given;
  resolved.spec = *spec;
  absl::Status status = CheckCount("scale", given.scale.size(), pairs);
  if (status.ok()) {
    status = ResolveScales(resolved.scale, IsDoubleArithmetic(*spec, dtype));
  }
  if (status.ok()) {
    status = CheckZeroPoints(*spec, resolved.zero_point, pairs);
  }
  if (!status.ok()) return status;
  return resolved;
}

absl::Status ResolvePairs(const Spec& spec, DataType dtype,
                          std::vector<double>& scale,
                          absl::Span<const int32_t> zero_point) {
  const absl::Status status =
      ResolveScales(scale, IsDoubleArithmetic(spec, dtype));
  if (!status.ok()) return status;
  return CheckZeroPoints(spec, zero_point, scale.size());
}

}  // namespace halfstep

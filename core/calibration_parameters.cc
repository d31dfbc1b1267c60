#include "core/calibration_parameters.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/calibration_density.h"
#include "core/calibration_ranges.h"
#include "core/error_totals.h"
#include "core/field_error.h"

namespace halfstep {
namespace {

constexpr uint32_t kEntropyBitsMax = 8;

// The spec resolved without a shape: axes must count from the first.
absl::StatusOr<Spec> ResolveWithoutShape(const CalibrationQuestion& question) {
  const Granularity& granularity = question.spec.granularity;
  const auto rank = static_cast<int32_t>(kRankMax);
  if (granularity.kind != Granularity::Kind::kTensor &&
      (granularity.axis < 0 || granularity.axis >= rank)) {
    return FieldError(granularity.kind == Granularity::Kind::kAxis
                          ? "spec.granularity.axis"
                          : "spec.granularity.group.axis",
                      absl::StrCat(granularity.axis, "; must be in [0, ", rank,
                                   "), counted from the first: there is no "
                                   "shape here"));
  }
  absl::StatusOr<Spec> spec = Resolve(question.spec, question.dtype, kRankMax);
  if (!spec.ok()) return UnderField("spec", spec.status());
  if (HasFloatCodes(*spec)) {
    return FieldError("spec.code_type",
                      "a floating-point type; must be UINT or INT: "
                      "floating-point codes have no parameters");
  }
  return spec;
}

absl::Status CheckGranularity(const Granularity& granularity,
                              const CalibrationState& state) {
  if (granularity.kind == Granularity::Kind::kTensor) return absl::OkStatus();
  if (granularity.kind == Granularity::Kind::kGroup) {
    return FieldError("spec.granularity.group",
                      "set; must not be: a state knows whole tensors or the "
                      "indices of an axis");
  }
  if (state.axis == granularity.axis) return absl::OkStatus();
  return FieldError(
      "spec.granularity.axis",
      absl::StrCat(granularity.axis, "; must be ",
                   state.axis.has_value()
                       ? absl::StrCat(*state.axis, ", the state's axis,")
                       : "unset, as the state's axis is,",
                   " or unset for one pair in all"));
}

absl::Status CheckMethod(const CalibrationQuestion& question,
                         const Spec& spec) {
  const double quantile = question.quantile;
  // Written so that NaN is refused as well.
  if (!(quantile >= 0 && quantile <= 1)) {
    return FieldError("quantile",
                      absl::StrCat(quantile, "; must be in (0, 1], or 0 for ",
                                   kDefaultQuantile));
  }
  if (question.method == CalibrationMethod::kEntropy &&
      (spec.scheme != Scheme::kSymmetric || spec.bits > kEntropyBitsMax)) {
    return FieldError("method",
                      absl::StrCat("ENTROPY; must be used with scheme "
                                   "SYMMETRIC and 2 to ",
                                   kEntropyBitsMax,
                                   " bits, for which it is "
                                   "published"));
  }
  return absl::OkStatus();
}

ScalePair PairFor(const CalibrationSummary& summary,
                  absl::Span<const DensityPiece> pieces,
                  const CalibrationQuestion& question, const Spec& spec) {
  const bool symmetric = spec.scheme == Scheme::kSymmetric;
  RealRange range = {summary.min, summary.max};
  if (summary.count == 0) {
    range = {std::numeric_limits<double>::max(),
             std::numeric_limits<double>::lowest()};  // of no real at all
    return PairForRange(spec, question.dtype, range);
  }
  switch (question.method) {
    case CalibrationMethod::kMinMax:
      break;
    case CalibrationMethod::kPercentile:
      range = PercentileRange(
          pieces, question.quantile == 0 ? kDefaultQuantile : question.quantile,
          symmetric);
      break;
    case CalibrationMethod::kMse:
      return LeastSquaredErrorPair(spec, question.dtype, pieces, range);
    case CalibrationMethod::kEntropy: {
      const double threshold =
          LeastDivergenceThreshold(MagnitudesOf(pieces), spec.bits);
      range = {-threshold, threshold};
      break;
    }
  }
  return PairForRange(spec, question.dtype, range);
}

absl::StatusOr<CalibrationState> WholeTensor(const CalibrationState& state) {
  CalibrationState whole = EmptyCalibrationState();
  for (size_t i = 0; i < state.summaries.size(); ++i) {
    const absl::Status added =
        AddSummary(state.summaries[i], whole.summaries.front());
    if (!added.ok()) {
      return UnderField(absl::StrCat("state.summaries[", i, "]"), added);
    }
  }
  return whole;
}

void AppendPair(const ScalePair& pair, Parameters& parameters) {
  parameters.scale.push_back(pair.scale);
  if (parameters.spec.scheme != Scheme::kSymmetric) {
    parameters.zero_point.push_back(pair.zero_point);
  }
}

uint64_t EncodedBytes(const Parameters& parameters, DataType dtype,
                      const CalibrationState& state) {
  uint64_t elements = 0;
  for (const CalibrationSummary& summary : state.summaries) {
    elements += summary.count + summary.non_finite_count;
  }
  elements = std::min(elements, kCalibrationCountMax);
  return CodeBytes(parameters.spec, static_cast<int64_t>(elements)) +
         parameters.scale.size() *
             (IsDoubleArithmetic(parameters.spec, dtype) ? 8 : 4) +
         parameters.zero_point.size() * sizeof(int32_t);
}

absl::StatusOr<CalibratedParameters> ComputeForSummaries(
    const CalibrationState& state, const CalibrationQuestion& question,
    const Spec& spec, const Execution& execution) {
  std::vector<ScalePair> pairs(state.summaries.size());
  std::vector<kernels::ErrorSums> errors(state.summaries.size());
  const absl::Status status = execution.ForEach(pairs.size(), 1, [&](size_t i) {
    const CalibrationSummary& summary = state.summaries[i];
    const std::vector<DensityPiece> pieces = DensityOf(summary, question.dtype);
    pairs[i] = PairFor(summary, pieces, question, spec);
    errors[i] = ModelQuantizer(spec, pairs[i]).Errors(pieces, summary.count);
  });
  if (!status.ok()) return status;
  CalibratedParameters result;
  result.parameters.spec = spec;
  for (const ScalePair& pair : pairs) AppendPair(pair, result.parameters);
  ErrorTotals totals;
  for (const kernels::ErrorSums& sums : errors) totals.AddBlock(sums);
  result.expected_error = totals.Report();
  result.expected_error.encoded_bytes =
      EncodedBytes(result.parameters, question.dtype, state);
  return result;
}

absl::Status CheckRange(size_t index, double min, double max, double largest) {
  for (const auto& [name, bound] : {std::pair{"min", min}, {"max", max}}) {
    if (!(std::fabs(bound) <= largest)) {
      return FieldError(
          absl::StrCat("ranges.", name, "[", index, "]"),
          absl::StrCat(bound, "; must be finite and within ", largest));
    }
  }
  if (min <= max) return absl::OkStatus();
  return FieldError(
      absl::StrCat("ranges.min[", index, "]"),
      absl::StrCat(min, "; must be at most ranges.max[", index, "], ", max));
}

}  // namespace

absl::StatusOr<CalibratedParameters> ComputeParameters(
    const CalibrationState& state, const CalibrationQuestion& question,
    const Execution& execution) {
  const absl::StatusOr<Spec> spec = ResolveWithoutShape(question);
  if (!spec.ok()) return spec.status();
  absl::Status status = CheckGranularity(spec->granularity, state);
  if (status.ok()) status = CheckMethod(question, *spec);
  if (!status.ok()) return status;
  if (std::all_of(state.summaries.begin(), state.summaries.end(),
                  [](const auto& summary) { return summary.count == 0; })) {
    return FieldError("state.summaries",
                      "no finite real was observed; must be at least one");
  }
  if (state.axis.has_value() &&
      spec->granularity.kind == Granularity::Kind::kTensor) {
    const absl::StatusOr<CalibrationState> whole = WholeTensor(state);
    if (!whole.ok()) return whole.status();
    return ComputeForSummaries(*whole, question, *spec, execution);
  }
  return ComputeForSummaries(state, question, *spec, execution);
}

absl::StatusOr<Parameters> ComputeParameters(
    const std::vector<double>& min, const std::vector<double>& max,
    const CalibrationQuestion& question) {
  const absl::StatusOr<Spec> spec = ResolveWithoutShape(question);
  if (!spec.ok()) return spec.status();
  if (question.method != CalibrationMethod::kMinMax) {
    return FieldError("method",
                      "another one; must be MIN_MAX where ranges are "
                      "given");
  }
  if (min.size() != max.size()) {
    return FieldError("ranges.max", absl::StrCat(max.size(), " given; must be ",
                                                 min.size(), " as in min"));
  }
  const bool one = spec->granularity.kind == Granularity::Kind::kTensor;
  if (one ? min.size() != 1 : min.empty()) {
    return FieldError("ranges.min", absl::StrCat(min.size(), " given; must be ",
                                                 one ? "1 for a whole tensor"
                                                     : "one per pair"));
  }
  const double largest = IsDoubleArithmetic(*spec, question.dtype)
                             ? LargestFinite(DataType::kFloat64)
                             : LargestFinite(DataType::kFloat32);
  Parameters parameters;
  parameters.spec = *spec;
  for (size_t i = 0; i < min.size(); ++i) {
    const absl::Status status = CheckRange(i, min[i], max[i], largest);
    if (!status.ok()) return status;
    AppendPair(PairForRange(*spec, question.dtype, {min[i], max[i]}),
               parameters);
  }
  return parameters;
}

}  // namespace halfstep

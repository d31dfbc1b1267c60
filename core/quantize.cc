#include "core/quantize.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "core/dequantize_pass.h"
#include "core/error_totals.h"
#include "core/field_error.h"
#include "core/quantize_pass.h"
#include "core/slice_layout.h"

namespace halfstep {
namespace {

absl::Status CheckSize(absl::string_view field, uint64_t given,
                       uint64_t needed) {
  if (given == needed) return absl::OkStatus();
  return FieldError(field, absl::StrCat(given, " bytes; must be ", needed,
                                        " for this shape and spec"));
}

absl::StatusOr<QuantizeResult> RunPass(const QuantizePlan& plan,
                                       const Pieces& reals,
                                       const QuantizeOutputs& outputs,
                                       const Execution& execution) {
  const absl::Status fits = CheckSize(
      "data", reals.size(),
      static_cast<uint64_t>(plan.element_count()) * ByteSize(plan.dtype()));
  if (!fits.ok()) return fits;
  return IsDoubleArithmetic(plan.spec(), plan.dtype())
             ? QuantizePass<double>(plan, reals, outputs, execution).Run()
             : QuantizePass<float>(plan, reals, outputs, execution).Run();
}

}  // namespace

absl::StatusOr<QuantizePlan> QuantizePlan::Dynamic(
    const Spec& spec, DataType dtype, absl::Span<const int64_t> shape,
    uint64_t pairs_max) {
  const absl::StatusOr<int64_t> count = ElementCount(shape);
  if (!count.ok()) return count.status();
  const absl::StatusOr<Spec> resolved = Resolve(spec, dtype, shape.size());
  if (!resolved.ok()) return UnderField("spec", resolved.status());
  QuantizePlan plan;
  plan.spec_ = *resolved;
  plan.dtype_ = dtype;
  plan.shape_.assign(shape.begin(), shape.end());
  plan.element_count_ = *count;
  if (!HasFloatCodes(*resolved)) {
    plan.pair_count_ = PairCount(resolved->granularity, shape);
    if (plan.pair_count_ > pairs_max) {
      return LimitError("spec.granularity",
                        absl::StrCat(plan.pair_count_,
                                     " pairs of scale and zero point; must be "
                                     "at most ",
                                     pairs_max));
    }
  }
  return plan;
}

absl::StatusOr<QuantizePlan> QuantizePlan::Static(
    const Parameters& parameters, DataType dtype,
    absl::Span<const int64_t> shape, uint64_t pairs_max) {
  const absl::StatusOr<int64_t> count = ElementCount(shape);
  if (!count.ok()) return count.status();
  absl::StatusOr<Parameters> resolved =
      ResolveParameters(parameters, dtype, shape, pairs_max);
  if (!resolved.ok()) return UnderField("parameters", resolved.status());
  QuantizePlan plan;
  plan.spec_ = resolved->spec;
  plan.dtype_ = dtype;
  plan.shape_.assign(shape.begin(), shape.end());
  plan.element_count_ = *count;
  plan.pair_count_ = resolved->scale.size();
  plan.given_ = *std::move(resolved);
  return plan;
}

absl::StatusOr<QuantizeResult> Quantize(const QuantizePlan& plan,
                                        const Pieces& reals, bool measure_error,
                                        const Execution& execution,
                                        absl::Span<std::byte> codes) {
  if (!codes.empty()) {
    const absl::Status fits =
        CheckSize("codes", codes.size(), plan.code_bytes());
    if (!fits.ok()) return fits;
  }
  QuantizeOutputs outputs;
  outputs.codes = codes;
  outputs.measure_error = measure_error;
  return RunPass(plan, reals, outputs, execution);
}

absl::StatusOr<QuantizeResult> FakeQuantize(
    const QuantizePlan& plan, const Pieces& reals, bool measure_error,
    const Execution& execution, absl::Span<std::byte> reconstructed,
    absl::Span<std::byte> gradient_mask) {
  const auto count = static_cast<uint64_t>(plan.element_count());
  absl::Status fits = CheckSize("reconstructed", reconstructed.size(),
                                count * ByteSize(plan.dtype()));
  if (fits.ok() && !gradient_mask.empty()) {
    fits = CheckSize("gradient_mask", gradient_mask.size(), (count + 7) / 8);
  }
  if (!fits.ok()) return fits;
  QuantizeOutputs outputs;
  outputs.reconstructed = reconstructed;
  outputs.gradient_mask = gradient_mask;
  outputs.measure_error = measure_error;
  return RunPass(plan, reals, outputs, execution);
}

absl::Status Dequantize(const QuantizePlan& plan, const Pieces& codes,
                        DataType dtype, const Execution& execution,
                        absl::Span<std::byte> reals) {
  absl::Status fits = CheckSize("codes", codes.size(), plan.code_bytes());
  if (fits.ok()) {
    fits = CheckSize(
        "data", reals.size(),
        static_cast<uint64_t>(plan.element_count()) * ByteSize(dtype));
  }
  if (!fits.ok()) return fits;
  return ForEachReconstructed(plan, codes, dtype, execution, reals,
                              [](size_t, size_t, const std::byte*) {});
}

absl::StatusOr<ErrorReport> MeasureError(const TensorView& original,
                                         const QuantizePlan& plan,
                                         const Pieces& codes,
                                         const Execution& execution) {
  if (original.shape != plan.shape()) {
    return FieldError("quantized.shape",
                      "differs from original.shape; must be the same");
  }
  const absl::Status fits =
      CheckSize("quantized.codes", codes.size(), plan.code_bytes());
  if (!fits.ok()) return fits;
  const auto count = static_cast<size_t>(plan.element_count());
  const size_t size = ByteSize(original.dtype);
  std::vector<kernels::ErrorSums> blocks((count + kBlockElements - 1) /
                                         kBlockElements);
  const absl::Status status = ForEachReconstructed(
      plan, codes, original.dtype, execution, {},
      [&](size_t first, size_t strip, const std::byte* reconstructed) {
        Scratch& scratch = Scratch::Get();
        // scratch.gathered is the reader's until the next strip is read.
        const std::byte* reals = original.reals.Contiguous(
            first * size, strip * size, scratch.widened);
        AddStripErrors(original.dtype, reals, reconstructed, strip, first,
                       scratch, &blocks[first / kBlockElements]);
      });
  if (!status.ok()) return UnderField("quantized", status);
  ErrorTotals totals;
  for (const kernels::ErrorSums& block : blocks) totals.AddBlock(block);
  ErrorReport report = totals.Report();
  const Parameters& parameters = *plan.given();
  report.encoded_bytes =
      plan.code_bytes() +
      parameters.scale.size() *
          (IsDoubleArithmetic(plan.spec(), plan.dtype()) ? 8 : 4) +
      parameters.zero_point.size() * sizeof(int32_t);
  return report;
}

}  // namespace halfstep

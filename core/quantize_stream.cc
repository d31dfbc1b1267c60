#include "core/quantize_stream.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/error_totals.h"
#include "core/field_error.h"
#include "core/range_pass.h"
#include "core/stream_input.h"

namespace halfstep {
namespace {

// When pairs become known.
enum class Mode : uint8_t {
  kGiven,     // static, or codes that have none
  kPerSlice,  // once a slice is whole
  kWhole,     // once the tensor is whole
};

Mode DynamicMode(const QuantizePlan& plan) {
  if (HasFloatCodes(plan.spec())) return Mode::kGiven;
  const SliceLayout layout(plan.spec().granularity, plan.shape());
  const auto count = static_cast<size_t>(plan.element_count());
  return layout.contiguous() && layout.slice_elements_max() < count
             ? Mode::kPerSlice
             : Mode::kWhole;
}

// Whether what must be held back before pairs are known can be.
absl::Status CheckHeldBack(const QuantizePlan& plan, Mode mode,
                           uint64_t bytes_max) {
  if (mode == Mode::kGiven) return absl::OkStatus();
  const SliceLayout layout(plan.spec().granularity, plan.shape());
  const uint64_t elements = mode == Mode::kPerSlice
                                ? layout.slice_elements_max()
                                : static_cast<uint64_t>(plan.element_count());
  const uint64_t size = ByteSize(plan.dtype());
  if (elements <= bytes_max / size) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "shape: ", elements, " elements of ", size,
      " bytes would have to be held until their scale is known; must be at "
      "most max_buffered_bytes, ",
      bytes_max,
      ". Call CalibrationService.Observe and ComputeParameters first, and send "
      "the parameters in the header"));
}

StreamedTensor TensorOf(const QuantizePlan& plan) {
  const size_t size = ByteSize(plan.dtype());
  return StreamedTensor(
      plan, "data", 8 * size,
      static_cast<uint64_t>(plan.element_count()) * size,
      WindowElements(8 * size, 8 * CodeByteSize(plan.spec())));
}

template <typename T>
class Stream final : public QuantizeStream {
 public:
  Stream(QuantizePlan plan, Mode mode, bool measure_error,
         const TensorStreamLimits& limits)
      : plan_(std::move(plan)),
        mode_(mode),
        measure_error_(measure_error),
        input_(plan_, mode == Mode::kGiven, TensorOf(plan_), limits.pairs_max) {
    parameters_.spec = plan_.spec();
  }

  // The header's pairs. Fewer than there are may come later.
  absl::Status Begin(const Parameters& given) {
    if (given.scale.empty() && given.zero_point.empty()) {
      return absl::OkStatus();
    }
    PairPiece pairs = {.scale = given.scale, .zero_point = given.zero_point};
    const absl::Status added = AddPairs(pairs);
    parameters_.scale = std::move(pairs.scale);
    parameters_.zero_point = std::move(pairs.zero_point);
    return added;
  }

  const Parameters& parameters() const override { return parameters_; }

  absl::Status AddPairs(PairPiece& pairs) override {
    return input_.AddPairs(pairs);
  }
  absl::Status Add(const Pieces& data) override { return input_.Add(data); }
  void Keep() override { input_.tensor().Keep(); }
  absl::Status End() override { return input_.End(); }

  std::optional<Window> Next() const override {
    const StreamedTensor& tensor = input_.tensor();
    const size_t whole = tensor.whole_elements();
    switch (mode_) {
      case Mode::kGiven:
        return tensor.Next(whole);
      case Mode::kPerSlice:
        return tensor.Next(whole == tensor.element_count()
                               ? whole
                               : tensor.layout().SliceAt(whole).begin);
      case Mode::kWhole:
        break;
    }
    return tensor.is_whole() ? tensor.Next(whole) : std::nullopt;
  }

  absl::StatusOr<PairPiece> Run(const Window& window,
                                const Execution& execution,
                                absl::Span<std::byte> codes) override {
    const Pieces reals = input_.tensor().View();
    absl::StatusOr<PairPiece> chosen = Choose(window, reals, execution);
    if (!chosen.ok()) return chosen;
    QuantizeOutputs outputs;
    outputs.codes = codes;
    outputs.measure_error = measure_error_;
    const absl::StatusOr<WindowResult> result =
        QuantizePass<T>(plan_, window, reals, outputs, execution)
            .RunWindow(input_.Slots());
    if (!result.ok()) return result.status();
    cuts_.saturated_count += result->cuts.saturated_count;
    cuts_.non_finite_count += result->cuts.non_finite_count;
    cuts_.clamped_count += result->cuts.clamped_count;
    for (const kernels::ErrorSums& block : result->errors) {
      totals_.AddBlock(block);
    }
    input_.Finish(window);
    return chosen;
  }

  absl::StatusOr<PairPiece> Rest(const Execution& execution) override {
    // Only a tensor without elements has pairs that no window needs.
    if (mode_ != Mode::kWhole || input_.pairs().added() != 0) {
      return PairPiece();
    }
    return Choose({}, input_.tensor().View(), execution);
  }

  uint64_t held_bytes() const override { return input_.held_bytes(); }

  const Cuts& cuts() const override { return cuts_; }

  std::optional<ErrorReport> Report() const override {
    if (!measure_error_) return std::nullopt;
    const bool symmetric = plan_.spec().scheme == Scheme::kSymmetric;
    ErrorReport report = totals_.Report();
    report.encoded_bytes =
        plan_.code_bytes() +
        plan_.pair_count() * (sizeof(T) + (symmetric ? 0 : sizeof(int32_t)));
    return report;
  }

 private:
  // Chooses the pairs that `window` needs and that are not known yet.
  absl::StatusOr<PairPiece> Choose(const Window& window, const Pieces& reals,
                                   const Execution& execution) {
    const SliceLayout& layout = input_.tensor().layout();
    const size_t known = input_.pairs().added();
    absl::StatusOr<ChosenPairs<T>> chosen = ChosenPairs<T>();
    if (mode_ == Mode::kWhole && known == 0) {
      chosen = ChooseFromReals<T>(plan_, layout, reals, execution);
    } else if (mode_ == Mode::kPerSlice) {
      chosen = ChooseSlices<T>(plan_, layout, reals, known,
                               layout.PairsBefore(window.first + window.count),
                               execution);
    }
    if (!chosen.ok()) return chosen.status();
    input_.pairs().template Append<T>(chosen->scale, chosen->zero_point);
    return PairPiece{.scale = {chosen->scale.begin(), chosen->scale.end()},
                     .zero_point = std::move(chosen->zero_point)};
  }

  const QuantizePlan& plan() const override { return plan_; }

  const QuantizePlan plan_;
  const Mode mode_;
  const bool measure_error_;
  Parameters parameters_;
  StreamInput<T> input_;
  Cuts cuts_;
  ErrorTotals totals_;
};

// Made for the arithmetic's type.
template <typename Use>
auto Make(QuantizePlan plan, Mode mode, bool measure_error,
          const TensorStreamLimits& limits, const Use& use)
    -> absl::StatusOr<std::unique_ptr<QuantizeStream>> {
  if (IsDoubleArithmetic(plan.spec(), plan.dtype())) {
    return use(std::make_unique<Stream<double>>(std::move(plan), mode,
                                                measure_error, limits));
  }
  return use(std::make_unique<Stream<float>>(std::move(plan), mode,
                                             measure_error, limits));
}

}  // namespace

absl::StatusOr<std::unique_ptr<QuantizeStream>> QuantizeStream::Dynamic(
    const Spec& spec, DataType dtype, absl::Span<const int64_t> shape,
    bool measure_error, const TensorStreamLimits& limits) {
  absl::StatusOr<QuantizePlan> plan = PlanStream(spec, dtype, shape, limits);
  if (!plan.ok()) return plan.status();
  const Mode mode = DynamicMode(*plan);
  const absl::Status held =
      CheckHeldBack(*plan, mode, limits.buffered_bytes_max);
  if (!held.ok()) return held;
  return Make(
      *std::move(plan), mode, measure_error, limits,
      [](auto stream) -> std::unique_ptr<QuantizeStream> { return stream; });
}

absl::StatusOr<std::unique_ptr<QuantizeStream>> QuantizeStream::Static(
    const Parameters& parameters, DataType dtype,
    absl::Span<const int64_t> shape, bool measure_error,
    const TensorStreamLimits& limits) {
  absl::StatusOr<QuantizePlan> plan =
      PlanStream(parameters.spec, dtype, shape, limits);
  if (!plan.ok()) return UnderField("parameters", plan.status());
  return Make(
      *std::move(plan), Mode::kGiven, measure_error, limits,
      [&](auto stream) -> absl::StatusOr<std::unique_ptr<QuantizeStream>> {
        const absl::Status begun = stream->Begin(parameters);
        if (!begun.ok()) return UnderField("parameters", begun);
        return std::unique_ptr<QuantizeStream>(std::move(stream));
      });
}

uint64_t QuantizeStream::CodeBytesOf(const Window& window) const {
  return CodeBytes(plan().spec(), static_cast<int64_t>(window.count));
}

}  // namespace halfstep

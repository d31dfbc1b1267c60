#include "core/dequantize_stream.h"

#include <utility>

#include "core/dequantize_pass.h"
#include "core/field_error.h"
#include "core/stream_input.h"

namespace halfstep {
namespace {

// Bits from one code to the next.
uint64_t CodeBits(const Spec& spec) {
  return spec.packing == Packing::kDense ? spec.bits : 8 * CodeByteSize(spec);
}

template <typename T>
class Stream final : public DequantizeStream {
 public:
  Stream(QuantizePlan plan, const TensorStreamLimits& limits)
      : plan_(std::move(plan)),
        input_(plan_, /*pairs_given=*/true,
               StreamedTensor(plan_, "codes", CodeBits(plan_.spec()),
                              plan_.code_bytes(),
                              WindowElements(CodeBits(plan_.spec()),
                                             8 * ByteSize(plan_.dtype()))),
               limits.pairs_max) {}

  absl::Status AddPairs(PairPiece& pairs) override {
    return input_.AddPairs(pairs);
  }
  absl::Status Add(const Pieces& codes) override { return input_.Add(codes); }
  void Keep() override { input_.tensor().Keep(); }
  absl::Status End() override { return input_.End(); }

  std::optional<Window> Next() const override {
    return input_.tensor().Next(input_.tensor().whole_elements());
  }

  absl::Status Run(const Window& window, const Execution& execution,
                   absl::Span<std::byte> reals) override {
    const Pieces codes = input_.tensor().View();
    const CodeReader<T> reader(plan_, codes, input_.Slots());
    absl::Status done = DequantizeWindow(reader, window.first, window.count,
                                         plan_.dtype(), execution, reals);
    if (done.ok()) input_.Finish(window);
    return done;
  }

  uint64_t held_bytes() const override { return input_.held_bytes(); }

 private:
  const QuantizePlan& plan() const override { return plan_; }

  const QuantizePlan plan_;
  StreamInput<T> input_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<DequantizeStream>> DequantizeStream::Begin(
    const Parameters& parameters, DataType dtype,
    absl::Span<const int64_t> shape, const TensorStreamLimits& limits) {
  absl::StatusOr<QuantizePlan> plan =
      PlanStream(parameters.spec, dtype, shape, limits);
  if (!plan.ok()) return UnderField("parameters", plan.status());
  std::unique_ptr<DequantizeStream> stream;
  if (IsDoubleArithmetic(plan->spec(), dtype)) {
    stream = std::make_unique<Stream<double>>(*std::move(plan), limits);
  } else {
    stream = std::make_unique<Stream<float>>(*std::move(plan), limits);
  }
  if (!parameters.scale.empty() || !parameters.zero_point.empty()) {
    PairPiece pairs = {.scale = parameters.scale,
                       .zero_point = parameters.zero_point};
    const absl::Status added = stream->AddPairs(pairs);
    if (!added.ok()) return UnderField("parameters", added);
  }
  return stream;
}

}  // namespace halfstep

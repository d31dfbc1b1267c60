#include "core/quantize_pass.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/error_totals.h"
#include "core/field_error.h"
#include "core/kernels/dense.h"
#include "core/kernels/float16.h"

namespace halfstep {
namespace {

// Slices up to this long are chosen block by block: the part of them that lies
// outside the block, and is read twice, stays small beside it.
constexpr size_t kFusedSliceMax = 8192;

// Where slices divide a portion, parameters are chosen for its elements, and
// the ranges of the next one's are found while these are coded. Shorter slices
// than this are chosen for a block: a vector has up to 16 lanes.
constexpr size_t kPortionSliceElementsMin = 16;

constexpr size_t kNone = std::numeric_limits<size_t>::max();

bool IsFused(const QuantizePlan& plan, const SliceLayout& layout) {
  return !plan.given().has_value() && !HasFloatCodes(plan.spec()) &&
         plan.element_count() != 0 && layout.contiguous() &&
         layout.slice_elements_max() <= kFusedSliceMax;
}

// Whether a fused pass goes by portions: reals need no widening, and every
// portion is whole slices.
bool IsByPortions(const QuantizePlan& plan, const SliceLayout& layout,
                  size_t arithmetic_size) {
  return IsFused(plan, layout) && ByteSize(plan.dtype()) == arithmetic_size &&
         layout.slices_are_equal() &&
         layout.slice_elements_max() >= kPortionSliceElementsMin &&
         kPortionElements % layout.slice_elements_max() == 0;
}

// Whether a strip's codes can be written where they belong from where the reals
// lie, with nothing in between.
bool IsDirect(const QuantizePlan& plan, const QuantizeOutputs& outputs,
              size_t arithmetic_size) {
  return ByteSize(plan.dtype()) == arithmetic_size &&
         plan.spec().packing == Packing::kNone && !HasFloatCodes(plan.spec()) &&
         !outputs.codes.empty() && outputs.reconstructed.empty() &&
         outputs.gradient_mask.empty() && !outputs.measure_error;
}

// The smallest magnitude that rounds past the largest finite code.
double SaturatedFrom(const Spec& spec) {
  return spec.code_type == CodeType::kFloat16 ? 65520 : 0x1.FFp127;
}

}  // namespace

// Consecutive whole slices of a block.
template <typename T>
struct Portion {
  static constexpr size_t kSlicesMax =
      kPortionElements / kPortionSliceElementsMin;

  Strip strip = {};
  size_t slices = 0;
  T low[kSlicesMax];
  T high[kSlicesMax];
  T scale[kSlicesMax];
  int32_t zero_point[kSlicesMax];

  // Becomes that of `its_strip`, which is `its_slices` whole slices; their
  // ranges are empty.
  void Begin(const Strip& its_strip, size_t its_slices) {
    strip = its_strip;
    slices = its_slices;
    std::fill_n(low, slices, std::numeric_limits<T>::infinity());
    std::fill_n(high, slices, -std::numeric_limits<T>::infinity());
  }
  const T* reals() const { return reinterpret_cast<const T*>(strip.data); }
};

template <typename T>
QuantizePass<T>::QuantizePass(const QuantizePlan& plan, const Pieces& reals,
                              const QuantizeOutputs& outputs,
                              const Execution& execution)
    : QuantizePass(plan, {0, static_cast<size_t>(plan.element_count())}, reals,
                   outputs, execution) {}

template <typename T>
QuantizePass<T>::QuantizePass(const QuantizePlan& plan, const Window& window,
                              const Pieces& reals,
                              const QuantizeOutputs& outputs,
                              const Execution& execution)
    : plan_(plan),
      reals_(reals),
      outputs_(outputs),
      execution_(execution),
      layout_(plan.spec().granularity, plan.shape()),
      rule_(RuleOf<T>(plan.spec())),
      window_(window),
      fused_(IsFused(plan, layout_)),
      by_portions_(IsByPortions(plan, layout_, sizeof(T))),
      strip_max_(IsDirect(plan, outputs, sizeof(T)) ? kDirectStripElements
                                                    : kStripElements),
      first_non_finite_(kNone) {}

template <typename T>
absl::StatusOr<QuantizeResult> QuantizePass<T>::Run() {
  absl::Status status = FindParameters();
  if (!status.ok()) return status;
  status = RunBlocks();
  if (!status.ok()) return status;

  const absl::MutexLock lock(&mutex_);
  QuantizeResult result;
  result.parameters = std::move(parameters_);
  result.cuts = {.saturated_count = cuts_.saturated,
                 .non_finite_count = cuts_.non_finite,
                 .clamped_count = cuts_.clamped};
  if (outputs_.measure_error) {
    ErrorTotals totals;
    for (const kernels::ErrorSums& block : errors_) totals.AddBlock(block);
    result.error = totals.Report();
    result.error->encoded_bytes =
        plan_.code_bytes() + result.parameters.scale.size() * sizeof(T) +
        result.parameters.zero_point.size() * sizeof(int32_t);
  }
  return result;
}

template <typename T>
absl::Status QuantizePass<T>::RunBlocks() {
  const size_t blocks = (window_.count + kBlockElements - 1) / kBlockElements;
  if (outputs_.measure_error) errors_.resize(blocks);
  const absl::Status status = execution_.ForEach(
      blocks,
      outputs_.measure_error ? kMeasuredBlocksTogether : kBlocksTogether,
      [this](size_t block) { RunBlock(block); });
  if (!status.ok()) return status;
  const absl::MutexLock lock(&mutex_);
  if (first_non_finite_ == kNone) return absl::OkStatus();
  return FieldError(
      "data", absl::StrCat(cuts_.non_finite,
                           " elements are NaN or infinite, the first at index ",
                           first_non_finite_,
                           "; must be finite under NON_FINITE_POLICY_REJECT"));
}

template <typename T>
absl::StatusOr<WindowResult> QuantizePass<T>::RunWindow(
    const SlotPairs<T>& pairs) {
  known_ = pairs;
  const absl::Status status = RunBlocks();
  if (!status.ok()) return status;
  const absl::MutexLock lock(&mutex_);
  return WindowResult{.cuts = {.saturated_count = cuts_.saturated,
                               .non_finite_count = cuts_.non_finite,
                               .clamped_count = cuts_.clamped},
                      .errors = std::move(errors_)};
}

template <typename T>
absl::Status QuantizePass<T>::FindParameters() {
  if (plan_.given().has_value()) {
    parameters_ = *plan_.given();
    if (!HasFloatCodes(plan_.spec())) {
      table_ = TableOf<T>(parameters_, layout_);
      known_ = SlotPairs<T>{table_->pairs(), 0};
    }
    return absl::OkStatus();
  }
  parameters_.spec = plan_.spec();
  if (HasFloatCodes(plan_.spec())) return absl::OkStatus();
  if (fused_) {
    parameters_.scale.resize(plan_.pair_count());
    if (!rule_.symmetric) parameters_.zero_point.resize(plan_.pair_count());
    return absl::OkStatus();
  }
  absl::StatusOr<ChosenPairs<T>> chosen =
      ChooseFromReals<T>(plan_, layout_, reals_, execution_);
  if (!chosen.ok()) return chosen.status();
  parameters_.scale.assign(chosen->scale.begin(), chosen->scale.end());
  parameters_.zero_point = chosen->zero_point;
  table_.emplace(std::move(chosen->scale), std::move(chosen->zero_point),
                 layout_);
  known_ = SlotPairs<T>{table_->pairs(), 0};
  return absl::OkStatus();
}

template <typename T>
typename QuantizePass<T>::BlockPairs QuantizePass<T>::ChooseForBlock(
    size_t first, size_t end, Scratch& scratch) {
  // One per thread, so that nothing is allocated once they have grown.
  thread_local Ranges<T> ranges;
  thread_local ChosenPairs<T> chosen;
  const SliceLayout::Slice front = layout_.SliceAt(first);
  const SliceLayout::Slice back = layout_.SliceAt(end - 1);
  const size_t slices = back.slot - front.slot + 1;
  ranges.Reset(slices);
  chosen.Reset(slices, rule_.symmetric);
  WidenToReals(plan_.dtype(), layout_, reals_, front.begin, back.end,
               front.slot, scratch, ranges);
  int32_t* zero_point = rule_.symmetric ? nullptr : chosen.zero_point.data();
  kernels::ChooseParameters(rule_, ranges.low.data(), ranges.high.data(),
                            slices, chosen.scale.data(), zero_point);
  const BlockPairs pairs = {
      {chosen.scale.data(), zero_point, AnyFar(chosen.zero_point)}, front.slot};
  // A slice belongs to the block in which it begins.
  Keep(pairs, {.first = front.begin < first ? size_t{1} : 0, .end = slices});
  return pairs;
}

template <typename T>
void QuantizePass<T>::Keep(const BlockPairs& pairs, const Kept& kept) {
  const size_t slot = pairs.base + kept.first;
  const T* scale = pairs.pairs.scale;
  std::copy(scale + kept.first, scale + kept.end,
            parameters_.scale.data() + slot);
  const int32_t* zero_point = pairs.pairs.zero_point;
  if (zero_point == nullptr) return;
  std::copy(zero_point + kept.first, zero_point + kept.end,
            parameters_.zero_point.data() + slot);
}

template <typename T>
void QuantizePass<T>::RunBlock(size_t block) {
  Scratch& scratch = Scratch::Get();
  size_t first = window_.first + block * kBlockElements;
  const size_t end =
      std::min(window_.first + window_.count, first + kBlockElements);
  kernels::CutCounts cuts;
  kernels::ErrorSums* errors =
      outputs_.measure_error ? &errors_[block] : nullptr;
  if (by_portions_ && !known_.has_value()) {
    RunPortions(first, end, scratch, &cuts, errors);
  } else {
    BlockPairs pairs = {};
    if (known_.has_value()) {
      pairs = *known_;
    } else if (fused_) {
      pairs = ChooseForBlock(first, end, scratch);
    }
    while (first < end) {
      const Strip strip = StripOf(reals_, ByteSize(plan_.dtype()), first,
                                  std::min(end - first, strip_max_), scratch);
      RunStrip(first, strip, pairs, scratch, &cuts, errors);
      first += strip.count;
    }
  }
  const absl::MutexLock lock(&mutex_);
  cuts_.clamped += cuts.clamped;
  cuts_.non_finite += cuts.non_finite;
  cuts_.saturated += cuts.saturated;
}

template <typename T>
void QuantizePass<T>::RunPortions(size_t first, size_t end, Scratch& scratch,
                                  kernels::CutCounts* cuts,
                                  kernels::ErrorSums* errors) {
  const size_t length = layout_.slice_elements_max();
  // No reals are widened, so that the memory for that can hold gathered ones.
  std::byte* const gathered[] = {scratch.gathered, scratch.widened};
  Portion<T> portions[2];
  const auto begin = [&](size_t which, size_t at) {
    const size_t count = std::min(end - at, kPortionElements);
    const std::byte* reals =
        reals_.Contiguous(at * sizeof(T), count * sizeof(T), gathered[which]);
    portions[which].Begin({reals, count}, count / length);
  };
  const auto widen = [&](Portion<T>& portion) {
    const kernels::Run run = {
        .count = length, .pair = 0, .step = 0, .times = portion.slices};
    kernels::WidenRanges(portion.reals(), {&run, 1}, portion.low, portion.high);
  };
  begin(0, first);
  widen(portions[0]);
  for (size_t which = 0; first < end; which = 1 - which) {
    Portion<T>& portion = portions[which];
    Portion<T>& next = portions[1 - which];
    const BlockPairs pairs = ChooseForPortion(first / length, portion);
    const size_t after = first + portion.strip.count;
    const bool more = after < end;
    if (more) begin(1 - which, after);
    const bool together = more && next.slices == portion.slices;
    const kernels::RangesToWiden<T> ranges = {next.reals(), next.low,
                                              next.high};
    RunStrip(first, portion.strip, pairs, scratch, cuts, errors,
             together ? &ranges : nullptr);
    if (more && !together) widen(next);
    first = after;
  }
}

template <typename T>
typename QuantizePass<T>::BlockPairs QuantizePass<T>::ChooseForPortion(
    size_t slot, Portion<T>& portion) {
  const size_t slices = portion.slices;
  int32_t* zero_point = rule_.symmetric ? nullptr : portion.zero_point;
  kernels::ChooseParameters(rule_, portion.low, portion.high, slices,
                            portion.scale, zero_point);
  const bool any_far = zero_point != nullptr && AnyFar({zero_point, slices});
  const BlockPairs pairs = {{portion.scale, zero_point, any_far}, slot};
  Keep(pairs, {.first = 0, .end = slices});
  return pairs;
}

template <typename T>
void QuantizePass<T>::RunStrip(size_t first, const Strip& strip,
                               const BlockPairs& pairs, Scratch& scratch,
                               kernels::CutCounts* cuts,
                               kernels::ErrorSums* errors,
                               const kernels::RangesToWiden<T>* next) {
  const uint64_t non_finite_before = cuts->non_finite;
  if (HasFloatCodes(plan_.spec())) {
    FloatCodes(first, strip, scratch, cuts);
  } else {
    IntegerCodes(first, strip, pairs, scratch, cuts, next);
  }
  if (cuts->non_finite != non_finite_before &&
      plan_.spec().non_finite_policy == NonFinitePolicy::kReject) {
    RejectNonFinite(first, strip, scratch);
  }
  if (!reconstructs()) return;
  const size_t size = ByteSize(plan_.dtype());
  std::byte* reconstructed = scratch.reconstructed;
  if (!outputs_.reconstructed.empty()) {
    reconstructed =
        outputs_.reconstructed.data() + (first - window_.first) * size;
  } else if (size != sizeof(T)) {
    reconstructed = scratch.narrowed;
  }
  if (reconstructed != scratch.reconstructed) {
    Narrow(reinterpret_cast<const T*>(scratch.reconstructed), strip.count,
           plan_.dtype(), reconstructed);
  }
  if (errors != nullptr) {
    AddStripErrors(plan_.dtype(), strip.data, reconstructed, strip.count, first,
                   scratch, errors);
  }
}

template <typename T>
void QuantizePass<T>::IntegerCodes(size_t first, const Strip& strip,
                                   const BlockPairs& pairs, Scratch& scratch,
                                   kernels::CutCounts* cuts,
                                   const kernels::RangesToWiden<T>* next) {
  const Spec& spec = plan_.spec();
  const size_t code_size = CodeByteSize(spec);
  const kernels::CodeKind kind =
      CodeKindOf(code_size, spec.code_type == CodeType::kInt);
  const bool dense = spec.packing == Packing::kDense;
  std::byte* codes =
      dense || outputs_.codes.empty()
          ? scratch.codes
          : outputs_.codes.data() + (first - window_.first) * code_size;
  scratch.runs.clear();
  layout_.AppendRuns(first, strip.count, pairs.base, scratch.runs);
  const kernels::Runs runs = {scratch.runs.data(), scratch.runs.size()};
  const T* reals =
      Widened<T>(plan_.dtype(), strip.data, strip.count, scratch.widened);
  if (next != nullptr) {
    kernels::QuantizeAndWiden(reals, scratch.runs.front(), pairs.pairs,
                              rule_.quantize, kind, codes, cuts, *next);
  } else {
    kernels::Quantize(reals, runs, pairs.pairs, rule_.quantize, kind, codes,
                      cuts);
  }
  if (dense && !outputs_.codes.empty()) {
    // `first` is a multiple of 8, so the strip begins with a whole byte.
    kernels::PackDense(codes, kind, strip.count, spec.bits,
                       reinterpret_cast<uint8_t*>(outputs_.codes.data()) +
                           (first - window_.first) / 8 * spec.bits);
  }
  if (!outputs_.gradient_mask.empty()) {
    kernels::GradientMask(reals, runs, pairs.pairs, rule_.quantize,
                          scratch.mask);
    StoreMask(first, strip.count, scratch);
  }
  if (reconstructs()) {
    kernels::Dequantize(codes, kind, runs, pairs.pairs,
                        reinterpret_cast<T*>(scratch.reconstructed));
  }
}

template <typename T>
void QuantizePass<T>::FloatCodes(size_t first, const Strip& strip,
                                 Scratch& scratch, kernels::CutCounts* cuts) {
  const kernels::FloatCodeRule rule = {
      .clamp_min = static_cast<double>(rule_.quantize.clamp_min),
      .clamp_max = static_cast<double>(rule_.quantize.clamp_max),
      .saturated_from = SaturatedFrom(plan_.spec())};
  const bool mask = !outputs_.gradient_mask.empty();
  const T* reals =
      Widened<T>(plan_.dtype(), strip.data, strip.count, scratch.widened);
  auto* clamped = reinterpret_cast<T*>(scratch.reconstructed);
  kernels::ClampForFloatCodes(reals, strip.count, rule, clamped, cuts,
                              mask ? scratch.mask : nullptr);
  if (mask) StoreMask(first, strip.count, scratch);
  const DataType code_dtype = plan_.spec().code_type == CodeType::kFloat16
                                  ? DataType::kFloat16
                                  : DataType::kBFloat16;
  std::byte* codes =
      outputs_.codes.empty()
          ? scratch.codes
          : outputs_.codes.data() + (first - window_.first) * sizeof(uint16_t);
  Narrow(clamped, strip.count, code_dtype, codes);
  if (!reconstructs()) return;
  Widened<T>(code_dtype, codes, strip.count, scratch.reconstructed);
}

template <typename T>
void QuantizePass<T>::StoreMask(size_t first, size_t count,
                                const Scratch& scratch) {
  // A stream of 1-bit codes; `first` is a multiple of 8.
  kernels::PackDense(scratch.mask, kernels::CodeKind::kU8, count, 1,
                     reinterpret_cast<uint8_t*>(outputs_.gradient_mask.data()) +
                         (first - window_.first) / 8);
}

template <typename T>
void QuantizePass<T>::RejectNonFinite(size_t first, const Strip& strip,
                                      Scratch& scratch) {
  const T* reals =
      Widened<T>(plan_.dtype(), strip.data, strip.count, scratch.widened);
  for (size_t i = 0; i < strip.count; ++i) {
    T real;
    std::memcpy(&real, reals + i, sizeof(real));
    // An infinity that the clamp bounds is not one any more.
    if (std::isfinite(real) || real < rule_.quantize.clamp_min ||
        real > rule_.quantize.clamp_max) {
      continue;
    }
    const absl::MutexLock lock(&mutex_);
    first_non_finite_ = std::min(first_non_finite_, first + i);
    return;
  }
}

template class QuantizePass<float>;
template class QuantizePass<double>;

}  // namespace halfstep

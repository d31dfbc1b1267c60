#include "core/tensor_stream.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "core/field_error.h"

namespace halfstep {

StreamedTensor::StreamedTensor(const QuantizePlan& plan,
                               absl::string_view field, uint64_t element_bits,
                               uint64_t total_bytes, size_t window_elements)
    : layout_(plan.spec().granularity, plan.shape()),
      field_(field),
      element_bits_(element_bits),
      total_bytes_(total_bytes),
      element_count_(static_cast<size_t>(plan.element_count())),
      window_elements_(window_elements) {}

absl::Status StreamedTensor::Add(const Pieces& bytes) {
  if (bytes.size() > total_bytes_ - held_.end()) {
    return FieldError(field_, absl::StrCat(held_.end() + bytes.size(),
                                           " bytes or more; must be ",
                                           total_bytes_, " in all"));
  }
  held_.Add(bytes);
  return absl::OkStatus();
}

absl::Status StreamedTensor::CheckWhole() const {
  if (is_whole()) return absl::OkStatus();
  return FieldError(field_,
                    absl::StrCat("ends after ", held_.end(), " bytes; must be ",
                                 total_bytes_, " in all"));
}

size_t StreamedTensor::whole_elements() const {
  if (is_whole()) return element_count_;
  // Whole groups of 8 elements first: the product of bytes and 8 may overflow.
  const size_t end = held_.end();
  return end / element_bits_ * 8 + end % element_bits_ * 8 / element_bits_;
}

size_t StreamedTensor::begun_elements() const {
  const size_t end = held_.end();
  const size_t begun =
      end / element_bits_ * 8 +
      (end % element_bits_ * 8 + element_bits_ - 1) / element_bits_;
  return std::min(begun, element_count_);
}

std::optional<Window> StreamedTensor::Next(size_t end) const {
  if (end != element_count_) end = end / kBlockElements * kBlockElements;
  if (end <= first_) return std::nullopt;
  return Window{first_, std::min(end - first_, window_elements_)};
}

void StreamedTensor::Finish(const Window& window) {
  first_ = window.first + window.count;
  held_.DropBefore(first_ / 8 * element_bits_);
}

size_t WindowElements(uint64_t bits_in, uint64_t bits_out) {
  constexpr uint64_t kWindowBits = uint64_t{2} << 20 << 3;
  const uint64_t blocks =
      kWindowBits / (std::max(bits_in, bits_out) * kBlockElements);
  return std::max<size_t>(blocks, 1) * kBlockElements;
}

absl::StatusOr<QuantizePlan> PlanStream(const Spec& spec, DataType dtype,
                                        absl::Span<const int64_t> shape,
                                        const TensorStreamLimits& limits) {
  absl::StatusOr<QuantizePlan> plan = QuantizePlan::Dynamic(
      spec, dtype, shape, std::numeric_limits<uint64_t>::max());
  if (!plan.ok()) return plan;
  const SliceLayout layout(plan->spec().granularity, plan->shape());
  if (plan->element_count() != 0 && layout.contiguous()) return plan;
  return QuantizePlan::Dynamic(spec, dtype, shape, limits.pairs_max);
}

}  // namespace halfstep

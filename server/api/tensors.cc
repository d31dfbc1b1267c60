#include "server/api/tensors.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/field_error.h"
#include "server/api/convert.h"
#include "server/api/numbers.h"

namespace halfstep {
namespace {

absl::Span<const int64_t> ShapeOf(
    const google::protobuf::RepeatedField<int64_t>& shape) {
  return {shape.data(), static_cast<size_t>(shape.size())};
}

// Checks that elements come in one form only, and as numbers only up to the
// limit.
absl::Status CheckForm(int value_count, size_t byte_count,
                       absl::string_view bytes_field,
                       const CallLimits& limits) {
  if (value_count == 0) return absl::OkStatus();
  if (byte_count > 0) {
    return FieldError(bytes_field,
                      absl::StrCat(byte_count,
                                   " bytes beside values; must be "
                                   "empty where values are given"));
  }
  if (static_cast<uint64_t>(value_count) > limits.max_values) {
    return LimitError("values",
                      absl::StrCat(value_count, " numbers; must be at most ",
                                   limits.max_values));
  }
  return absl::OkStatus();
}

absl::Status CheckValueCount(int value_count, int64_t element_count) {
  if (value_count == element_count) return absl::OkStatus();
  return FieldError("values", absl::StrCat(value_count, " numbers; must be ",
                                           element_count, " for this shape"));
}

// The parameters of `tensor` as a plan for its shape and dtype.
absl::StatusOr<QuantizePlan> PlanOf(const v1::QuantizedTensor& tensor,
                                    const CallLimits& limits) {
  const absl::StatusOr<DataType> dtype = FromProto(tensor.dtype());
  if (!dtype.ok()) return dtype.status();
  const absl::Span<const int64_t> shape = ShapeOf(tensor.shape());
  const absl::StatusOr<int64_t> count = ElementCount(shape);
  if (!count.ok()) return count.status();
  const absl::StatusOr<Parameters> parameters =
      FromProto(tensor.parameters(), limits.max_parameter_pairs);
  if (!parameters.ok()) return UnderField("parameters", parameters.status());
  return QuantizePlan::Static(*parameters, *dtype, shape,
                              limits.max_parameter_pairs);
}

}  // namespace

absl::StatusOr<RealsInput> ReadReals(const v1::Tensor& tensor,
                                     const Pieces& data,
                                     const CallLimits& limits) {
  if (absl::Status status =
          CheckForm(tensor.values_size(), data.size(), "data", limits);
      !status.ok()) {
    return status;
  }
  RealsInput input;
  input.as_values = tensor.values_size() > 0;
  const bool is_default =
      input.as_values && tensor.dtype() == v1::DATA_TYPE_UNSPECIFIED;
  const absl::StatusOr<DataType> dtype =
      is_default ? DataType::kFloat64 : FromProto(tensor.dtype());
  if (!dtype.ok()) return dtype.status();
  const absl::Span<const int64_t> shape = ShapeOf(tensor.shape());
  if (input.as_values) {
    const absl::StatusOr<int64_t> count = ElementCount(shape);
    if (!count.ok()) return count.status();
    if (absl::Status status = CheckValueCount(tensor.values_size(), *count);
        !status.ok()) {
      return status;
    }
    absl::StatusOr<std::vector<std::byte>> bytes = RealsFromNumbers(
        *dtype,
        {tensor.values().data(), static_cast<size_t>(tensor.values_size())});
    if (!bytes.ok()) return bytes.status();
    input.storage = *std::move(bytes);
    input.tensor.reals = Pieces(input.storage);
  } else {
    const absl::StatusOr<int64_t> count =
        CheckTensor(*dtype, shape, data.size(), "data");
    if (!count.ok()) return count.status();
    input.tensor.reals = data;
  }
  input.tensor.dtype = *dtype;
  input.tensor.shape.assign(shape.begin(), shape.end());
  return input;
}

absl::StatusOr<CodesInput> ReadCodes(const v1::QuantizedTensor& tensor,
                                     const Pieces& codes,
                                     const CallLimits& limits) {
  if (absl::Status status =
          CheckForm(tensor.values_size(), codes.size(), "codes", limits);
      !status.ok()) {
    return status;
  }
  absl::StatusOr<QuantizePlan> plan = PlanOf(tensor, limits);
  if (!plan.ok()) return plan.status();
  CodesInput input = {.plan = *std::move(plan),
                      .codes = codes,
                      .as_values = tensor.values_size() > 0,
                      .storage = {}};
  if (!input.as_values) {
    if (codes.size() == input.plan.code_bytes()) return input;
    return FieldError(
        "codes",
        absl::StrCat(codes.size(), " bytes; must be ", input.plan.code_bytes(),
                     " for this shape, bits and packing"));
  }
  if (absl::Status status =
          CheckValueCount(tensor.values_size(), input.plan.element_count());
      !status.ok()) {
    return status;
  }
  absl::StatusOr<std::vector<std::byte>> bytes = CodesFromNumbers(
      input.plan.spec(),
      {tensor.values().data(), static_cast<size_t>(tensor.values_size())});
  if (!bytes.ok()) return bytes.status();
  input.storage = *std::move(bytes);
  input.codes = Pieces(input.storage);
  return input;
}

}  // namespace halfstep

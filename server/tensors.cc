#include "server/tensors.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/field_error.h"
#include "core/kernels/float16.h"
#include "server/convert.h"

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

// The 16-bit pattern of a number that is not finite, given the one of infinity.
uint16_t NonFinitePattern(double value, uint16_t infinity) {
  const auto quiet_bit = static_cast<uint16_t>((infinity >> 1) & ~infinity);
  const auto magnitude =
      static_cast<uint16_t>(infinity | (std::isnan(value) ? quiet_bit : 0));
  return static_cast<uint16_t>(magnitude | (std::signbit(value) ? 0x8000 : 0));
}

void Round16(DataType dtype, absl::Span<const double> values, uint16_t* out) {
  const bool is_float16 = dtype == DataType::kFloat16;
  if (is_float16) {
    kernels::NarrowToFloat16(values.data(), values.size(), out);
  } else {
    kernels::NarrowToBFloat16(values.data(), values.size(), out);
  }
  for (size_t i = 0; i < values.size(); ++i) {
    if (std::isfinite(values[i])) continue;
    out[i] = NonFinitePattern(values[i], is_float16 ? 0x7C00 : 0x7F80);
  }
}

// `values` as little-endian elements of `dtype`, each rounded once.
// INVALID_ARGUMENT ("values[i]") for a finite one past the dtype's range.
absl::StatusOr<std::vector<std::byte>> Encode(DataType dtype,
                                              absl::Span<const double> values) {
  const double largest = LargestFinite(dtype);
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i]) || std::abs(values[i]) <= largest) continue;
    return FieldError(absl::StrCat("values[", i, "]"),
                      absl::StrCat(values[i], "; must be within ", largest,
                                   ", the largest ", Name(dtype)));
  }
  std::vector<std::byte> bytes(values.size() * ByteSize(dtype));
  switch (dtype) {
    case DataType::kFloat64:
      std::memcpy(bytes.data(), values.data(), bytes.size());
      break;
    case DataType::kFloat32: {
      const std::vector<float> rounded(values.begin(), values.end());
      std::memcpy(bytes.data(), rounded.data(), bytes.size());
      break;
    }
    case DataType::kFloat16:
    case DataType::kBFloat16: {
      std::vector<uint16_t> rounded(values.size());
      Round16(dtype, values, rounded.data());
      std::memcpy(bytes.data(), rounded.data(), bytes.size());
      break;
    }
  }
  return bytes;
}

template <typename T>
T Load(const std::byte* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

double DecodeOne(DataType dtype, const std::byte* bytes) {
  float real = 0;
  switch (dtype) {
    case DataType::kFloat64:
      return Load<double>(bytes);
    case DataType::kFloat32:
      return Load<float>(bytes);
    case DataType::kFloat16: {
      const auto pattern = Load<uint16_t>(bytes);
      kernels::WidenFloat16(&pattern, 1, &real);
      return real;
    }
    case DataType::kBFloat16: {
      const auto pattern = Load<uint16_t>(bytes);
      kernels::WidenBFloat16(&pattern, 1, &real);
      return real;
    }
  }
  return real;
}

// Bits from the first bit of one code to that of the next. The first code has
// the lowest bits in both packings, so that one bit stream describes them both.
size_t CodeStride(const Spec& spec) {
  const bool is_dense = spec.packing == Packing::kDense && !HasFloatCodes(spec);
  return is_dense ? spec.bits : 8 * CodeByteSize(spec);
}

// What a code given or returned as a number can be.
CodeRange NumberRange(const Spec& spec) {
  return HasFloatCodes(spec) ? CodeRange{0, 0xFFFF} : CodeRangeOf(spec);
}

// The `width` bits, at most 32, from bit `offset` on.
uint64_t ReadBits(absl::Span<const std::byte> bytes, size_t offset,
                  size_t width) {
  uint64_t word = 0;
  std::memcpy(&word, bytes.data() + offset / 8,
              std::min(sizeof(word), bytes.size() - offset / 8));
  return (word >> (offset % 8)) & ((uint64_t{1} << width) - 1);
}

void WriteBits(uint64_t code, size_t offset, size_t width,
               absl::Span<std::byte> bytes) {
  for (size_t i = 0; i < width; ++i) {
    const size_t bit = offset + i;
    bytes[bit / 8] |= static_cast<std::byte>(((code >> i) & 1) << (bit % 8));
  }
}

absl::StatusOr<std::vector<std::byte>> EncodeCodes(
    const QuantizePlan& plan,
    const google::protobuf::RepeatedField<int64_t>& values) {
  const CodeRange range = NumberRange(plan.spec());
  const size_t stride = CodeStride(plan.spec());
  std::vector<std::byte> bytes(plan.code_bytes());
  for (int i = 0; i < values.size(); ++i) {
    if (values[i] < range.quant_min || values[i] > range.quant_max) {
      return FieldError(
          absl::StrCat("values[", i, "]"),
          absl::StrCat(values[i], "; must be in [", range.quant_min, ", ",
                       range.quant_max, "]"));
    }
    WriteBits(static_cast<uint64_t>(values[i]), static_cast<size_t>(i) * stride,
              stride, absl::MakeSpan(bytes));
  }
  return bytes;
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
  absl::StatusOr<QuantizePlan> plan = QuantizePlan::Static(
      *parameters, *dtype, shape, limits.max_parameter_pairs);
  if (!plan.ok()) return UnderField("parameters", plan.status());
  return plan;
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
    absl::StatusOr<std::vector<std::byte>> bytes = Encode(
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
  absl::StatusOr<std::vector<std::byte>> bytes =
      EncodeCodes(input.plan, tensor.values());
  if (!bytes.ok()) return bytes.status();
  input.storage = *std::move(bytes);
  input.codes = Pieces(input.storage);
  return input;
}

void WriteRealValues(DataType dtype, absl::Span<const std::byte> reals,
                     v1::Tensor& out) {
  for (size_t at = 0; at < reals.size(); at += ByteSize(dtype)) {
    out.add_values(DecodeOne(dtype, reals.data() + at));
  }
}

void WriteCodeValues(const Spec& spec, int64_t count,
                     absl::Span<const std::byte> codes,
                     v1::QuantizedTensor& out) {
  const CodeRange range = NumberRange(spec);
  const size_t stride = CodeStride(spec);
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t bits =
        ReadBits(codes, static_cast<size_t>(i) * stride, stride);
    // A field with its highest bit set is negative if there are negative codes.
    const bool is_negative = range.quant_min < 0 && (bits >> (stride - 1)) != 0;
    out.add_values(static_cast<int64_t>(bits) -
                   (is_negative ? int64_t{1} << stride : 0));
  }
}

}  // namespace halfstep

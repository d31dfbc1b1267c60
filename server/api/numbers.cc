#include "server/api/numbers.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/field_error.h"
#include "core/kernels/float16.h"

namespace halfstep {
namespace {

constexpr uint16_t kFloat16Infinity = 0x7C00;
constexpr uint16_t kBFloat16Infinity = 0x7F80;

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
    out[i] = NonFinitePattern(
        values[i], is_float16 ? kFloat16Infinity : kBFloat16Infinity);
  }
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

// Why number `value` is no code of `spec`, or nothing if it is one.
std::string CodeFault(const Spec& spec, int64_t value) {
  const CodeRange range = NumberRange(spec);
  if (value < range.quant_min || value > range.quant_max) {
    return absl::StrCat(value, "; must be in [", range.quant_min, ", ",
                        range.quant_max, "]");
  }
  const int64_t infinity = spec.code_type == CodeType::kFloat16
                               ? kFloat16Infinity
                               : kBFloat16Infinity;
  if (HasFloatCodes(spec) && (value & 0x7FFF) >= infinity) {
    return absl::StrCat(value, "; must be the bits of a finite number");
  }
  return "";
}

}  // namespace

absl::StatusOr<std::vector<std::byte>> RealsFromNumbers(
    DataType dtype, absl::Span<const double> values) {
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

std::vector<double> NumbersFromReals(DataType dtype,
                                     absl::Span<const std::byte> reals) {
  std::vector<double> values;
  for (size_t at = 0; at < reals.size(); at += ByteSize(dtype)) {
    values.push_back(DecodeOne(dtype, reals.data() + at));
  }
  return values;
}

absl::StatusOr<std::vector<std::byte>> CodesFromNumbers(
    const Spec& spec, absl::Span<const int64_t> values) {
  const size_t stride = CodeStride(spec);
  std::vector<std::byte> bytes(
      CodeBytes(spec, static_cast<int64_t>(values.size())));
  for (size_t i = 0; i < values.size(); ++i) {
    if (const std::string fault = CodeFault(spec, values[i]); !fault.empty()) {
      return FieldError(absl::StrCat("values[", i, "]"), fault);
    }
    // Two's complement: the lowest `stride` bits of the number.
    WriteBits(static_cast<uint64_t>(values[i]), i * stride, stride,
              absl::MakeSpan(bytes));
  }
  return bytes;
}

std::vector<int64_t> NumbersFromCodes(const Spec& spec, int64_t count,
                                      absl::Span<const std::byte> codes) {
  const CodeRange range = NumberRange(spec);
  const size_t stride = CodeStride(spec);
  std::vector<int64_t> values;
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t bits =
        ReadBits(codes, static_cast<size_t>(i) * stride, stride);
    // A field with its highest bit set is negative if there are negative codes.
    const bool is_negative = range.quant_min < 0 && (bits >> (stride - 1)) != 0;
    values.push_back(static_cast<int64_t>(bits) -
                     (is_negative ? int64_t{1} << stride : 0));
  }
  return values;
}

}  // namespace halfstep

#include "client/elements.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>

namespace halfstep {
namespace {

uint64_t LittleEndian(const std::string& bytes, size_t begin, size_t count) {
  uint64_t number = 0;
  for (size_t i = count; i > 0; --i) {
    number = number << 8 | static_cast<uint8_t>(bytes[begin + i - 1]);
  }
  return number;
}

// IEEE binary16: 1 sign bit, 5 of exponent, 10 of fraction.
double FromFloat16(uint64_t bits) {
  const auto exponent = static_cast<int>(bits >> 10 & 0x1f);
  const auto fraction = static_cast<double>(bits & 0x3ff);
  double real = std::ldexp(fraction, -24);  // subnormal or 0
  if (exponent == 0x1f) {
    real = fraction != 0 ? std::numeric_limits<double>::quiet_NaN()
                         : std::numeric_limits<double>::infinity();
  } else if (exponent != 0) {
    real = std::ldexp(fraction + 0x400, exponent - 25);
  }
  return (bits >> 15) != 0 ? -real : real;
}

double FromFloat32(uint64_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits));
}

double FromBits(v1::DataType dtype, uint64_t bits) {
  switch (dtype) {
    case v1::DATA_TYPE_FLOAT64:
      return std::bit_cast<double>(bits);
    case v1::DATA_TYPE_FLOAT16:
      return FromFloat16(bits);
    case v1::DATA_TYPE_BFLOAT16:
      return FromFloat32(bits << 16);
    default:
      return FromFloat32(bits);
  }
}

size_t RealBytes(v1::DataType dtype) {
  switch (dtype) {
    case v1::DATA_TYPE_FLOAT64:
      return 8;
    case v1::DATA_TYPE_FLOAT16:
    case v1::DATA_TYPE_BFLOAT16:
      return 2;
    default:
      return 4;
  }
}

// `field`, the lowest `bits` bits of a code, in two's complement if it has a
// sign.
int64_t Code(uint64_t field, uint32_t bits, bool has_sign) {
  const bool negative = has_sign && (field >> (bits - 1) & 1) != 0;
  return static_cast<int64_t>(field) -
         (negative ? int64_t{1} << bits : int64_t{0});
}

// Fields of `bits` bits, the first in the lowest bits of the first byte.
std::vector<int64_t> Unpacked(const std::string& bytes, uint32_t bits,
                              size_t count, bool has_sign) {
  std::vector<int64_t> codes;
  codes.reserve(std::min(count, bytes.size() * 8 / bits));
  uint64_t window = 0;
  uint32_t held = 0;
  for (const char byte : bytes) {
    window |= uint64_t{static_cast<uint8_t>(byte)} << held;
    held += 8;
    while (held >= bits && codes.size() < count) {
      codes.push_back(
          Code(window & ((uint64_t{1} << bits) - 1), bits, has_sign));
      window >>= bits;
      held -= bits;
    }
  }
  return codes;
}

}  // namespace

std::vector<double> RealsOf(const v1::Tensor& tensor) {
  if (!tensor.values().empty()) {
    return {tensor.values().begin(), tensor.values().end()};
  }
  const size_t size = RealBytes(tensor.dtype());
  std::vector<double> reals;
  reals.reserve(tensor.data().size() / size);
  for (size_t i = 0; i + size <= tensor.data().size(); i += size) {
    reals.push_back(
        FromBits(tensor.dtype(), LittleEndian(tensor.data(), i, size)));
  }
  return reals;
}

std::vector<int64_t> CodesOf(const v1::QuantizedTensor& tensor) {
  if (!tensor.values().empty()) {
    return {tensor.values().begin(), tensor.values().end()};
  }
  const v1::QuantizationSpec& spec = tensor.parameters().spec();
  const bool has_sign = spec.code_type() == v1::CODE_TYPE_INT;
  const uint32_t bits = spec.bits();
  if (bits == 0 || bits > 32) return {};
  if (spec.packing() == v1::PACKING_DENSE) {
    size_t count = 1;
    for (const int64_t size : tensor.shape()) {
      count *= static_cast<size_t>(size);
    }
    return Unpacked(tensor.codes(), bits, count, has_sign);
  }
  // Whole bytes are fields that are a little wider.
  const uint32_t field_bits = bits <= 8 ? 8 : bits <= 16 ? 16 : 32;
  return Unpacked(tensor.codes(), field_bits,
                  tensor.codes().size() / (field_bits / 8), has_sign);
}

}  // namespace halfstep

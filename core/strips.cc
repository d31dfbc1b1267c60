#include "core/strips.h"

#include <cstring>

#include "core/kernels/float16.h"

namespace halfstep {
namespace {

// Where a strip would be shorter than this because a piece ends, so many
// elements are gathered instead: copying a few is cheaper than a short strip.
constexpr size_t kGatherElements = 256;

void Widen16(DataType dtype, const uint16_t* from, size_t count, float* to) {
  if (dtype == DataType::kFloat16) {
    kernels::WidenFloat16(from, count, to);
  } else {
    kernels::WidenBFloat16(from, count, to);
  }
}

void ToFloat32(const float* from, size_t count, float* to) {
  std::memcpy(to, from, count * sizeof(float));
}

void ToFloat32(const double* from, size_t count, float* to) {
  kernels::NarrowToFloat32(from, count, to);
}

void ToFloat64(const float* from, size_t count, double* to) {
  kernels::WidenFloat32(from, count, to);
}

void ToFloat64(const double* from, size_t count, double* to) {
  std::memcpy(to, from, count * sizeof(double));
}

}  // namespace

Scratch& Scratch::Get() {
  thread_local const std::unique_ptr<Scratch> scratch =
      std::make_unique<Scratch>();
  return *scratch;
}

Strip StripOf(const Pieces& pieces, size_t size, size_t first, size_t count,
              Scratch& scratch) {
  const size_t here = pieces.ContiguousCount(first * size) / size;
  if (here < count) {
    count = here >= kGatherElements ? here / 8 * 8
                                    : std::min(count, kGatherElements);
  }
  return {pieces.Contiguous(first * size, count * size, scratch.gathered),
          count};
}

template <>
const float* Widened<float>(DataType dtype, const std::byte* reals,
                            size_t count, std::byte* widened) {
  if (dtype == DataType::kFloat32) {
    return reinterpret_cast<const float*>(reals);
  }
  auto* to = reinterpret_cast<float*>(widened);
  Widen16(dtype, reinterpret_cast<const uint16_t*>(reals), count, to);
  return to;
}

template <>
const double* Widened<double>(DataType dtype, const std::byte* reals,
                              size_t count, std::byte* widened) {
  if (dtype == DataType::kFloat64) {
    return reinterpret_cast<const double*>(reals);
  }
  auto* to = reinterpret_cast<double*>(widened);
  if (dtype == DataType::kFloat32) {
    kernels::WidenFloat32(reinterpret_cast<const float*>(reals), count, to);
    return to;
  }
  // Through float32, which is exact, a few at a time.
  constexpr size_t kFew = 256;
  float few[kFew];
  const auto* from = reinterpret_cast<const uint16_t*>(reals);
  for (size_t i = 0; i < count; i += kFew) {
    const size_t part = std::min(kFew, count - i);
    Widen16(dtype, from + i, part, few);
    kernels::WidenFloat32(few, part, to + i);
  }
  return to;
}

template <typename T>
void Narrow(const T* from, size_t count, DataType dtype, std::byte* reals) {
  switch (dtype) {
    case DataType::kFloat32:
      ToFloat32(from, count, reinterpret_cast<float*>(reals));
      return;
    case DataType::kFloat64:
      ToFloat64(from, count, reinterpret_cast<double*>(reals));
      return;
    case DataType::kFloat16:
      kernels::NarrowToFloat16(from, count, reinterpret_cast<uint16_t*>(reals));
      return;
    case DataType::kBFloat16:
      kernels::NarrowToBFloat16(from, count,
                                reinterpret_cast<uint16_t*>(reals));
      return;
  }
}

template void Narrow<float>(const float*, size_t, DataType, std::byte*);
template void Narrow<double>(const double*, size_t, DataType, std::byte*);

kernels::CodeKind CodeKindOf(size_t size, bool is_signed) {
  using kernels::CodeKind;
  switch (size) {
    case 1:
      return is_signed ? CodeKind::kI8 : CodeKind::kU8;
    case 2:
      return is_signed ? CodeKind::kI16 : CodeKind::kU16;
    default:
      return is_signed ? CodeKind::kI32 : CodeKind::kU32;
  }
}

}  // namespace halfstep

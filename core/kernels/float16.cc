#include "core/kernels/float16.h"

#include <cmath>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/float16.cc"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/highway.h>

#include "core/kernels/lanes-inl.h"
#include "core/kernels/reference.h"

HWY_BEFORE_NAMESPACE();
namespace halfstep::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// All of it in integers, as kernels/reference.h has it: the floating-point
// conversions to 16 bits that targets offer differ in their rounding.

struct Float16 {
  template <class D, class VU>
  static HWY_INLINE hn::Vec<D> Widen(D d, VU bits) {
    const hn::RebindToUnsigned<D> du;
    const VU magnitude = hn::And(bits, hn::Set(du, 0x7FFFu));
    const VU sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(du, 0x8000u)));
    const VU fields = hn::ShiftLeft<13>(magnitude);
    const auto finite = hn::Lt(hn::BitCast(hn::RebindToSigned<D>(), magnitude),
                               hn::Set(hn::RebindToSigned<D>(), 0x7C00));
    const auto scaled = hn::Mul(hn::BitCast(d, fields), hn::Set(d, 0x1p112f));
    const auto special =
        hn::BitCast(d, hn::Or(fields, hn::Set(du, 0x7F800000u)));
    const auto real =
        hn::IfThenElse(hn::RebindMask(d, finite), scaled, special);
    return hn::BitCast(d, hn::Or(hn::BitCast(du, real), sign));
  }

  template <class D, class V>
  static HWY_INLINE hn::Vec<hn::RebindToSigned<D>> Narrow(D d, V real) {
    const hn::RebindToUnsigned<D> du;
    const hn::RebindToSigned<D> di;
    real = hn::IfThenElseZero(hn::Eq(real, real), real);
    const auto bits = hn::BitCast(du, real);
    const auto sign = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 0x8000u));
    const auto magnitude = hn::And(bits, hn::Set(du, 0x7FFFFFFFu));
    const auto half = hn::Set(d, 0.5f);
    const auto subnormal = hn::BitCast(
        di, hn::Sub(hn::BitCast(du, hn::Add(hn::BitCast(d, magnitude), half)),
                    hn::BitCast(du, half)));
    const auto odd = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(du, 1u));
    const auto normal = hn::BitCast(
        di, hn::Sub(hn::ShiftRight<13>(
                        hn::Add(magnitude, hn::Add(hn::Set(du, 0xFFFu), odd))),
                    hn::Set(du, 112u << 10)));
    const auto is_subnormal =
        hn::Lt(hn::BitCast(di, magnitude), hn::Set(di, 0x38800000));
    const auto rounded = hn::Min(
        hn::IfThenElse(is_subnormal, subnormal, normal), hn::Set(di, 0x7BFF));
    return hn::Or(rounded, hn::BitCast(di, sign));
  }
};

struct BFloat16 {
  template <class D, class VU>
  static HWY_INLINE hn::Vec<D> Widen(D d, VU bits) {
    return hn::BitCast(d, hn::ShiftLeft<16>(bits));
  }

  template <class D, class V>
  static HWY_INLINE hn::Vec<hn::RebindToSigned<D>> Narrow(D, V real) {
    const hn::RebindToUnsigned<D> du;
    const hn::RebindToSigned<D> di;
    real = hn::IfThenElseZero(hn::Eq(real, real), real);
    const auto bits = hn::BitCast(du, real);
    const auto sign = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 0x8000u));
    const auto magnitude = hn::And(bits, hn::Set(du, 0x7FFFFFFFu));
    const auto odd = hn::And(hn::ShiftRight<16>(magnitude), hn::Set(du, 1u));
    const auto rounded = hn::ShiftRight<16>(
        hn::Add(magnitude, hn::Add(hn::Set(du, 0x7FFFu), odd)));
    return hn::Or(hn::Min(hn::BitCast(di, rounded), hn::Set(di, 0x7F7F)),
                  hn::BitCast(di, sign));
  }
};

template <class Format>
HWY_INLINE void WidenAll(const uint16_t* from, size_t count, float* to) {
  const hn::ScalableTag<float> d;
  const hn::RebindToUnsigned<decltype(d)> du;
  const hn::Rebind<uint16_t, decltype(d)> d16;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    StoreLanes(d, Format::Widen(d, hn::PromoteTo(du, LoadAhead(d16, from + i))),
               to + i);
  }
  if (i == count) return;
  float few[hn::MaxLanes(d)];
  hn::StoreU(
      Format::Widen(d, hn::PromoteTo(du, LoadFirst(d16, from + i, count - i,
                                                   uint16_t{0}))),
      d, few);
  std::memcpy(to + i, few, (count - i) * sizeof(float));
}

// The low 16 bits of each lane, which DemoteTo would saturate as signed ones.
template <class DI, class VI>
HWY_INLINE hn::Vec<hn::Rebind<uint16_t, DI>> Low16(DI di, VI bits) {
  const hn::Rebind<uint16_t, DI> d16;
  return hn::DemoteTo(d16, hn::And(bits, hn::Set(di, 0xFFFF)));
}

template <class Format>
HWY_INLINE void NarrowAll(const float* from, size_t count, uint16_t* to) {
  const hn::ScalableTag<float> d;
  const hn::RebindToSigned<decltype(d)> di;
  const hn::Rebind<uint16_t, decltype(d)> d16;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    StoreLanes(d16, Low16(di, Format::Narrow(d, LoadLanes(d, from + i))),
               to + i);
  }
  if (i == count) return;
  uint16_t few[hn::MaxLanes(d)];
  hn::StoreU(
      Low16(di, Format::Narrow(d, LoadFirst(d, from + i, count - i, 0.0f))),
      d16, few);
  std::memcpy(to + i, few, (count - i) * sizeof(uint16_t));
}

void WidenF16(const uint16_t* from, size_t count, float* to) {
  WidenAll<Float16>(from, count, to);
}
void WidenBF16(const uint16_t* from, size_t count, float* to) {
  WidenAll<BFloat16>(from, count, to);
}
void NarrowF16(const float* from, size_t count, uint16_t* to) {
  NarrowAll<Float16>(from, count, to);
}
void NarrowBF16(const float* from, size_t count, uint16_t* to) {
  NarrowAll<BFloat16>(from, count, to);
}

void WidenF32(const float* from, size_t count, double* to) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> df;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    StoreLanes(d, hn::PromoteTo(d, LoadAhead(df, from + i)), to + i);
  }
  for (; i < count; ++i) {
    float real;
    std::memcpy(&real, from + i, sizeof(real));
    const double wide = real;
    std::memcpy(to + i, &wide, sizeof(wide));
  }
}

void NarrowF32(const double* from, size_t count, float* to) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> df;
  const size_t lanes = hn::Lanes(d);
  const auto largest = hn::Set(df, hwy::HighestValue<float>());
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    auto real = LoadLanes(d, from + i);
    real = hn::IfThenElseZero(hn::Eq(real, real), real);
    const auto narrow = hn::DemoteTo(df, real);
    StoreLanes(df, hn::Min(hn::Max(narrow, hn::Neg(largest)), largest), to + i);
  }
  for (; i < count; ++i) {
    double real;
    std::memcpy(&real, from + i, sizeof(real));
    const float narrow = reference::Float64ToFloat32(real);
    std::memcpy(to + i, &narrow, sizeof(narrow));
  }
}

}  // namespace halfstep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace halfstep::kernels {
namespace {

HWY_EXPORT(WidenF16);
HWY_EXPORT(WidenBF16);
HWY_EXPORT(WidenF32);
HWY_EXPORT(NarrowF16);
HWY_EXPORT(NarrowBF16);
HWY_EXPORT(NarrowF32);

// Rare enough (FLOAT64 reals to 16-bit codes) for one element at a time.
template <typename F>
void NarrowOneByOne(const double* from, size_t count, uint16_t* to, F narrow) {
  for (size_t i = 0; i < count; ++i) {
    double real;
    std::memcpy(&real, from + i, sizeof(real));
    const uint16_t bits = narrow(real);
    std::memcpy(to + i, &bits, sizeof(bits));
  }
}

template <typename T>
void ClampAll(const T* reals, size_t count, const FloatCodeRule& rule,
              T* clamped, CutCounts* cuts, uint8_t* mask) {
  const T low = static_cast<T>(rule.clamp_min);
  const T high = static_cast<T>(rule.clamp_max);
  const T saturated_from = static_cast<T>(rule.saturated_from);
  for (size_t i = 0; i < count; ++i) {
    T real;
    std::memcpy(&real, reals + i, sizeof(real));
    const bool is_clamped = real < low || real > high;
    if (real < low) real = low;
    if (real > high) real = high;
    const bool is_non_finite = !is_clamped && !std::isfinite(real);
    const bool is_saturated =
        !is_clamped && !is_non_finite && std::fabs(real) >= saturated_from;
    clamped[i] = real;
    cuts->clamped += is_clamped;
    cuts->non_finite += is_non_finite;
    cuts->saturated += is_saturated;
    if (mask != nullptr) {
      mask[i] = !(is_clamped || is_non_finite || is_saturated);
    }
  }
}

}  // namespace

void WidenFloat16(const uint16_t* from, size_t count, float* to) {
  HWY_DYNAMIC_DISPATCH(WidenF16)(from, count, to);
}

void WidenBFloat16(const uint16_t* from, size_t count, float* to) {
  HWY_DYNAMIC_DISPATCH(WidenBF16)(from, count, to);
}

void WidenFloat32(const float* from, size_t count, double* to) {
  HWY_DYNAMIC_DISPATCH(WidenF32)(from, count, to);
}

void NarrowToFloat16(const float* from, size_t count, uint16_t* to) {
  HWY_DYNAMIC_DISPATCH(NarrowF16)(from, count, to);
}

void NarrowToFloat16(const double* from, size_t count, uint16_t* to) {
  NarrowOneByOne(from, count, to, reference::Float64ToFloat16);
}

void NarrowToBFloat16(const float* from, size_t count, uint16_t* to) {
  HWY_DYNAMIC_DISPATCH(NarrowBF16)(from, count, to);
}

void NarrowToBFloat16(const double* from, size_t count, uint16_t* to) {
  NarrowOneByOne(from, count, to, reference::Float64ToBFloat16);
}

void NarrowToFloat32(const double* from, size_t count, float* to) {
  HWY_DYNAMIC_DISPATCH(NarrowF32)(from, count, to);
}

void ClampForFloatCodes(const float* reals, size_t count,
                        const FloatCodeRule& rule, float* clamped,
                        CutCounts* cuts, uint8_t* mask) {
  ClampAll(reals, count, rule, clamped, cuts, mask);
}

void ClampForFloatCodes(const double* reals, size_t count,
                        const FloatCodeRule& rule, double* clamped,
                        CutCounts* cuts, uint8_t* mask) {
  ClampAll(reals, count, rule, clamped, cuts, mask);
}

}  // namespace halfstep::kernels
#endif  // HWY_ONCE

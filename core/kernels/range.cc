#include "core/kernels/range.h"

#include <algorithm>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/range.cc"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/highway.h>

#include "core/kernels/lanes-inl.h"
#include "core/kernels/reference.h"

HWY_BEFORE_NAMESPACE();
namespace halfstep::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Chooses for whole vectors of ordinary slices, and stops before the first
// vector that has another: no finite real, only zeros, a width or a scale that
// is not normal. Returns how many it has chosen. Not for kAddFirst.
template <typename T>
HWY_INLINE size_t ChooseOrdinary(const RangeRule<T>& rule, const T* low,
                                 const T* high, size_t count, T* scale,
                                 int32_t* zero_point) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const hn::Rebind<int32_t, decltype(d)> di;
  const size_t lanes = hn::Lanes(d);
  const bool multiplies = rule.quantize.order == Order::kMultiply;
  const V zero = hn::Zero(d);
  const V quant_min = hn::Set(d, rule.quantize.quant_min);
  // Also the bound that int32 sets: no int32 is larger than this T.
  const V quant_max = hn::Set(
      d, std::min(rule.quantize.quant_max,
                  static_cast<T>(sizeof(T) == 8 ? 2147483647.0 : 65535.0)));
  const V clamp_min = hn::Set(d, rule.quantize.clamp_min);
  const V clamp_max = hn::Set(d, rule.quantize.clamp_max);
  const T steps = rule.quantize.quant_max - rule.quantize.quant_min;
  const V divisor = hn::Set(d, !rule.symmetric ? steps
                               : multiplies    ? steps / 2
                                               : rule.quantize.quant_max);
  const V smallest = hn::Set(d, std::numeric_limits<T>::min());
  const V largest = hn::Set(d, std::numeric_limits<T>::max());
  const V magic = hn::Set(d, sizeof(T) == 4 ? T{0x1.8p23} : T{0x1.8p52});

  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    V from = hn::LoadU(d, low + i);
    V to = hn::LoadU(d, high + i);
    const auto some = hn::Le(from, to);
    from = hn::Min(hn::Max(from, clamp_min), clamp_max);
    to = hn::Min(hn::Max(to, clamp_min), clamp_max);
    V width;
    if (rule.symmetric) {
      width = hn::Max(hn::Abs(from), hn::Abs(to));
    } else {
      from = hn::Min(from, zero);
      width = hn::Sub(hn::Max(to, zero), from);
    }
    V chosen = hn::Div(width, divisor);
    const auto ordinary =
        hn::And(hn::And(some, hn::Le(width, largest)),
                hn::And(hn::Ge(chosen, smallest), hn::Le(chosen, largest)));
    if (!hn::AllTrue(d, ordinary)) break;
    if (multiplies) {
      chosen = hn::Max(chosen, hn::Set(d, static_cast<T>(kPytorchScaleMin)));
    }
    hn::StoreU(chosen, d, scale + i);
    if (rule.symmetric) continue;
    // Between 0 and the number of steps, so that adding a constant rounds.
    const V below = hn::Div(from, chosen);
    V z;
    if (multiplies) {
      z = hn::Sub(quant_min, hn::Sub(hn::Add(below, magic), magic));
    } else {
      z = hn::Sub(hn::Add(hn::Sub(quant_min, below), magic), magic);
    }
    z = hn::Min(hn::Max(z, quant_min), quant_max);
    if constexpr (sizeof(T) == 8) {
      hn::StoreU(hn::DemoteTo(di, z), di, zero_point + i);
    } else {
      hn::StoreU(hn::ConvertTo(di, z), di, zero_point + i);
    }
  }
  return i;
}

size_t ChooseFloat(const RangeRule<float>& rule, const float* low,
                   const float* high, size_t count, float* scale,
                   int32_t* zero_point) {
  return ChooseOrdinary(rule, low, high, count, scale, zero_point);
}

size_t ChooseDouble(const RangeRule<double>& rule, const double* low,
                    const double* high, size_t count, double* scale,
                    int32_t* zero_point) {
  return ChooseOrdinary(rule, low, high, count, scale, zero_point);
}

}  // namespace halfstep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace halfstep::kernels {

HWY_EXPORT(ChooseFloat);
HWY_EXPORT(ChooseDouble);

namespace {

constexpr double kInt32Min = std::numeric_limits<int32_t>::min();
constexpr double kInt32Max = std::numeric_limits<int32_t>::max();

template <typename T>
T ToNormal(T scale) {
  // A NaN cannot occur: both ends are finite, and 0 / Q is caught before.
  return std::clamp(scale, std::numeric_limits<T>::min(),
                    std::numeric_limits<T>::max());
}

// width / steps where the width may overflow T.
template <typename T>
T Divided(T low, T high, T steps) {
  const T width = high - low;
  if (std::isfinite(width)) return width / steps;
  return static_cast<T>((static_cast<double>(high) - static_cast<double>(low)) /
                        static_cast<double>(steps));
}

template <typename T>
struct Pair {
  T scale;
  T zero_point;  // a whole number, perhaps past int32
};

// The table of section 2 for a range whose scale is not degenerate.
template <typename T>
Pair<T> Asymmetric(const RangeRule<T>& rule, T low, T high) {
  const T quant_min = rule.quantize.quant_min;
  const T steps = rule.quantize.quant_max - quant_min;
  T scale = Divided(low, high, steps);
  if (rule.quantize.order == Order::kMultiply) {
    scale = std::max(scale, static_cast<T>(kPytorchScaleMin));
  }
  scale = ToNormal(scale);
  const T zero_point = rule.quantize.order == Order::kDivide
                           ? reference::Round(quant_min - low / scale)
                           : quant_min - reference::Round(low / scale);
  return {scale, zero_point};
}

template <typename T>
T SymmetricScale(const RangeRule<T>& rule, T low, T high) {
  const T magnitude = std::max(std::fabs(low), std::fabs(high));
  const T quant_max = rule.quantize.quant_max;
  if (rule.quantize.order != Order::kMultiply) {
    return ToNormal(magnitude / quant_max);
  }
  const T steps = quant_max - rule.quantize.quant_min;
  return ToNormal(
      std::max(magnitude / (steps / 2), static_cast<T>(kPytorchScaleMin)));
}

template <typename T>
int32_t SaturateZeroPoint(const RangeRule<T>& rule, T zero_point) {
  double low = kInt32Min;
  double high = kInt32Max;
  if (rule.quantize.order != Order::kAddFirst) {
    low = std::max(low, static_cast<double>(rule.quantize.quant_min));
    high = std::min(high, static_cast<double>(rule.quantize.quant_max));
  }
  return static_cast<int32_t>(
      std::clamp(static_cast<double>(zero_point), low, high));
}

template <typename T>
void ChooseOne(const RangeRule<T>& rule, T low, T high, T* scale,
               int32_t* zero_point) {
  const bool pytorch = rule.quantize.order == Order::kMultiply;
  if (low > high) {  // no finite real
    *scale = 1;
    if (!rule.symmetric) *zero_point = 0;
    return;
  }
  low = std::clamp(low, rule.quantize.clamp_min, rule.quantize.clamp_max);
  high = std::clamp(high, rule.quantize.clamp_min, rule.quantize.clamp_max);
  if (low == 0 && high == 0 && !pytorch) {
    *scale = 1;
    if (!rule.symmetric) *zero_point = 0;
    return;
  }
  if (rule.symmetric) {
    *scale = SymmetricScale(rule, low, high);
    return;
  }
  const T low_with_zero = std::min(low, T{0});
  const T high_with_zero = std::max(high, T{0});
  Pair<T> pair;
  if (rule.quantize.order == Order::kAddFirst && low != high) {
    pair = Asymmetric(rule, low, high);
    const auto exact = static_cast<double>(pair.zero_point);
    if (exact < kInt32Min || exact > kInt32Max) {
      pair = Asymmetric(rule, low_with_zero, high_with_zero);
    }
  } else {
    pair = Asymmetric(rule, low_with_zero, high_with_zero);
  }
  *scale = pair.scale;
  *zero_point = SaturateZeroPoint(rule, pair.zero_point);
}

// `ordinary` chooses for what it can, the definition for the rest, a few at a
// time.
template <typename T, typename F>
void ChooseAll(const RangeRule<T>& rule, const T* low, const T* high,
               size_t count, T* scale, int32_t* zero_point, F ordinary) {
  constexpr size_t kFew = 16;  // as many as the largest vector has lanes
  for (size_t i = 0; i < count;) {
    int32_t* z = zero_point == nullptr ? nullptr : zero_point + i;
    if (rule.quantize.order != Order::kAddFirst) {
      const size_t done =
          ordinary(rule, low + i, high + i, count - i, scale + i, z);
      i += done;
      if (z != nullptr) z += done;
    }
    for (size_t few = std::min(kFew, count - i); few != 0; --few, ++i) {
      ChooseOne(rule, low[i], high[i], scale + i, z);
      if (z != nullptr) ++z;
    }
  }
}

}  // namespace

void ChooseParameters(const RangeRule<float>& rule, const float* low,
                      const float* high, size_t count, float* scale,
                      int32_t* zero_point) {
  ChooseAll(rule, low, high, count, scale, zero_point,
            HWY_DYNAMIC_DISPATCH(ChooseFloat));
}

void ChooseParameters(const RangeRule<double>& rule, const double* low,
                      const double* high, size_t count, double* scale,
                      int32_t* zero_point) {
  ChooseAll(rule, low, high, count, scale, zero_point,
            HWY_DYNAMIC_DISPATCH(ChooseDouble));
}

}  // namespace halfstep::kernels
#endif  // HWY_ONCE

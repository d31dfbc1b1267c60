#include "core/kernels/range.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/kernels/reference.h"

namespace halfstep::kernels {
namespace {

constexpr double kInt32Min = std::numeric_limits<int32_t>::min();
constexpr double kInt32Max = std::numeric_limits<int32_t>::max();

// PyTorch's observers never go below float32's epsilon.
constexpr double kPytorchScaleMin = 0x1p-23;

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

template <typename T>
void ChooseAll(const RangeRule<T>& rule, const T* low, const T* high,
               size_t count, T* scale, int32_t* zero_point) {
  for (size_t i = 0; i < count; ++i) {
    ChooseOne(rule, low[i], high[i], scale + i,
              zero_point == nullptr ? nullptr : zero_point + i);
  }
}

}  // namespace

void ChooseParameters(const RangeRule<float>& rule, const float* low,
                      const float* high, size_t count, float* scale,
                      int32_t* zero_point) {
  ChooseAll(rule, low, high, count, scale, zero_point);
}

void ChooseParameters(const RangeRule<double>& rule, const double* low,
                      const double* high, size_t count, double* scale,
                      int32_t* zero_point) {
  ChooseAll(rule, low, high, count, scale, zero_point);
}

}  // namespace halfstep::kernels

#include <cstring>

#include "core/kernels/affine.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/affine_dequantize.cc"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/highway.h>

#include "core/kernels/lanes-inl.h"
#include "core/kernels/reference.h"

HWY_BEFORE_NAMESPACE();
namespace halfstep::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Integer codes in memory, any alignment, to whole numbers in lanes of T.
template <class D, typename C>
HWY_INLINE hn::Vec<D> LoadCodes(D d, const C* codes) {
  if constexpr (sizeof(hn::TFromD<D>) == 8) {
    const hn::Rebind<int32_t, D> di;
    if constexpr (hwy::IsSame<C, uint32_t>()) {
      const hn::RebindToUnsigned<decltype(di)> du;
      const auto low = hn::Xor(LoadLanes(du, codes), hn::Set(du, 0x80000000u));
      return hn::Add(hn::PromoteTo(d, hn::BitCast(di, low)),
                     hn::Set(d, 0x1p31));
    } else if constexpr (hwy::IsSame<C, int32_t>()) {
      return hn::PromoteTo(d, LoadLanes(di, codes));
    } else {
      const hn::Rebind<C, D> dc;
      return hn::PromoteTo(d, hn::PromoteTo(di, LoadLanes(dc, codes)));
    }
  } else {
    const hn::RebindToSigned<D> di;
    const hn::Rebind<C, D> dc;
    return hn::ConvertTo(d, hn::PromoteTo(di, LoadLanes(dc, codes)));
  }
}

// code - zero_point is exact in T: both are whole numbers, below 2^23 (float)
// or 2^32 (double).
template <typename T, typename C>
HWY_NOINLINE void DequantizeRuns(const C* HWY_RESTRICT codes, Runs runs,
                                 Pairs<T> pairs, T* HWY_RESTRICT reals) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const size_t lanes = hn::Lanes(d);
  constexpr size_t kMax = hn::MaxLanes(d);
  const V largest = hn::Set(d, hwy::HighestValue<T>());
  const V smallest = hn::Neg(largest);
  const auto real_of = [&](V code, V scale, V zero_point) HWY_ATTR {
    const V product = hn::Mul(hn::Sub(code, zero_point), scale);
    return hn::Min(hn::Max(product, smallest), largest);
  };

  const auto few = [&](size_t count, V scale, V zero_point) HWY_ATTR {
    C few_codes[kMax] = {};
    T few_reals[kMax];
    std::memcpy(few_codes, codes, count * sizeof(C));
    hn::StoreU(real_of(LoadCodes(d, few_codes), scale, zero_point), d,
               few_reals);
    std::memcpy(reals, few_reals, count * sizeof(T));
    codes += count;
    reals += count;
  };

  for (size_t r = 0; r < runs.count; ++r) {
    const Run& run = runs.runs[r];
    const T* scale = pairs.scale + run.pair;
    const int32_t* zero_point =
        pairs.zero_point == nullptr ? nullptr : pairs.zero_point + run.pair;
    if (run.step == 0) {
      for (size_t time = 0; time < run.times; ++time) {
        const V one_scale = hn::Set(d, scale[time]);
        const V one_zero_point = hn::Set(
            d, zero_point == nullptr ? T{0} : static_cast<T>(zero_point[time]));
        size_t left = run.count;
        for (; left >= lanes; left -= lanes, codes += lanes, reals += lanes) {
          StoreLanes(d, real_of(LoadCodes(d, codes), one_scale, one_zero_point),
                     reals);
        }
        if (left != 0) few(left, one_scale, one_zero_point);
      }
      continue;
    }
    size_t left = run.count;
    for (; left >= lanes; left -= lanes, codes += lanes, reals += lanes) {
      StoreLanes(d,
                 real_of(LoadCodes(d, codes), hn::LoadU(d, scale),
                         LoadZeroPoints(d, zero_point, lanes)),
                 reals);
      scale += lanes;
      if (zero_point != nullptr) zero_point += lanes;
    }
    if (left != 0) {
      few(left, LoadFirst(d, scale, left, T{1}),
          LoadZeroPoints(d, zero_point, left));
    }
  }
}

// The rare runs whose code - zero_point is not exact in the lanes: taken in
// integers, and rounded once.
template <typename T, typename C>
HWY_NOINLINE void DequantizeFar(const C* codes, Runs runs, Pairs<T> pairs,
                                T* reals) {
  for (size_t r = 0; r < runs.count; ++r) {
    const Run& run = runs.runs[r];
    for (size_t k = 0; k < run.elements(); ++k, ++codes, ++reals) {
      const size_t pair = run.pair + (run.step == 0 ? k / run.count : k);
      C code;
      std::memcpy(&code, codes, sizeof(code));
      const T real = reference::Dequantize<T>(code, pairs.scale[pair],
                                              pairs.zero_point[pair]);
      std::memcpy(reals, &real, sizeof(real));
    }
  }
}

template <typename T>
HWY_INLINE void DequantizeAny(const void* codes, CodeKind kind, Runs runs,
                              Pairs<T> pairs, T* reals) {
  const auto from = [&](const auto* typed) HWY_ATTR {
    sizeof(T) == 4 && pairs.far_zero_points
        ? DequantizeFar(typed, runs, pairs, reals)
        : DequantizeRuns(typed, runs, pairs, reals);
  };
  switch (kind) {
    case CodeKind::kU8:
      return from(static_cast<const uint8_t*>(codes));
    case CodeKind::kI8:
      return from(static_cast<const int8_t*>(codes));
    case CodeKind::kU16:
      return from(static_cast<const uint16_t*>(codes));
    case CodeKind::kI16:
      return from(static_cast<const int16_t*>(codes));
    case CodeKind::kU32:
      if constexpr (sizeof(T) == 8) from(static_cast<const uint32_t*>(codes));
      return;
    case CodeKind::kI32:
      if constexpr (sizeof(T) == 8) from(static_cast<const int32_t*>(codes));
      return;
  }
}

void DequantizeFloat(const void* codes, CodeKind kind, Runs runs,
                     Pairs<float> pairs, float* reals) {
  DequantizeAny(codes, kind, runs, pairs, reals);
}

void DequantizeDouble(const void* codes, CodeKind kind, Runs runs,
                      Pairs<double> pairs, double* reals) {
  DequantizeAny(codes, kind, runs, pairs, reals);
}

}  // namespace halfstep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace halfstep::kernels {

HWY_EXPORT(DequantizeFloat);
HWY_EXPORT(DequantizeDouble);

void Dequantize(const void* codes, CodeKind kind, Runs runs, Pairs<float> pairs,
                float* reals) {
  HWY_DYNAMIC_DISPATCH(DequantizeFloat)(codes, kind, runs, pairs, reals);
}

void Dequantize(const void* codes, CodeKind kind, Runs runs,
                Pairs<double> pairs, double* reals) {
  HWY_DYNAMIC_DISPATCH(DequantizeDouble)(codes, kind, runs, pairs, reals);
}

}  // namespace halfstep::kernels
#endif  // HWY_ONCE

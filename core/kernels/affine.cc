#include "core/kernels/affine.h"

#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/affine.cc"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/highway.h>

#include "core/kernels/lanes-inl.h"
#include "core/kernels/reference.h"

HWY_BEFORE_NAMESPACE();
namespace halfstep::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Adding and taking away this rounds a number of up to 2^22 (float) or 2^51
// (double) to an integer, half to even, on every target: Highway's own Round
// differs on some.
template <typename T>
constexpr T Magic() {
  return sizeof(T) == 4 ? T{0x1.8p23} : T{0x1.8p52};
}

// A rule and one pair (or a vector of pairs) as vectors.
template <class V>
struct AffineVectors {
  V divisor;    // scale, or 1 / scale
  V add_first;  // kAddFirst: the zero point
  V low;        // smallest and largest number of steps that needs no cut
  V high;
  V below;  // one less and one more: enough to see that a cut was made
  V above;
  V add_last;  // otherwise: the zero point
};

template <Order kOrder, class D, class V = hn::Vec<D>,
          typename T = hn::TFromD<D>>
HWY_INLINE AffineVectors<V> MakeVectors(D d, V scale, V zero_point,
                                        const QuantizeRule<T>& rule) {
  const V zero = hn::Zero(d);
  const V one = hn::Set(d, T{1});
  V low = hn::Set(d, rule.quant_min);
  V high = hn::Set(d, rule.quant_max);
  if constexpr (kOrder == Order::kAddFirst) {
    return {scale, zero_point, low, high, hn::Sub(low, one), hn::Add(high, one),
            zero};
  }
  if constexpr (kOrder == Order::kMultiply) scale = hn::Div(one, scale);
  low = hn::Sub(low, zero_point);
  high = hn::Sub(high, zero_point);
  return {scale,     zero, low, high, hn::Sub(low, one), hn::Add(high, one),
          zero_point};
}

// Reals to whole numbers of steps, before and after the cut to the code range.
// Where they differ the code was cut, or the real is not finite: NaN becomes
// `below` or `above` or stays, as the target's Max has it, and differs in each
// case.
template <class V>
struct Steps {
  V rounded;
  V within;
};

template <Order kOrder, class D, class V>
HWY_INLINE Steps<V> StepsOf(D d, V x, const AffineVectors<V>& affine) {
  V steps = kOrder == Order::kMultiply ? hn::Mul(x, affine.divisor)
                                       : hn::Div(x, affine.divisor);
  if constexpr (kOrder == Order::kAddFirst) {
    steps = hn::Add(steps, affine.add_first);
  }
  steps = hn::Min(hn::Max(steps, affine.below), affine.above);
  const V magic = hn::Set(d, Magic<hn::TFromD<D>>());
  const V rounded = hn::Sub(hn::Add(steps, magic), magic);
  return {rounded, hn::Min(hn::Max(rounded, affine.low), affine.high)};
}

// What a vector needs in which some real is clamped, cut or not finite: counts
// them, and returns the right steps.
template <Order kOrder, class D, class V, class M, typename T = hn::TFromD<D>>
HWY_NOINLINE V CountCuts(D d, V x, M valid, const AffineVectors<V>& affine,
                         const QuantizeRule<T>& rule, CutCounts* cuts) {
  const V clamp_min = hn::Set(d, rule.clamp_min);
  const V clamp_max = hn::Set(d, rule.clamp_max);
  const auto below = hn::Lt(x, clamp_min);
  const auto above = hn::Gt(x, clamp_max);
  const auto clamped = hn::Or(below, above);
  x = hn::IfThenElse(below, clamp_min, x);
  x = hn::IfThenElse(above, clamp_max, x);
  // False for NaN.
  const auto finite = hn::Le(hn::Abs(x), hn::Set(d, hwy::HighestValue<T>()));
  // NaN takes the code of 0.
  const V number = hn::IfThenElseZero(hn::Eq(x, x), x);
  const Steps<V> steps = StepsOf<kOrder>(d, number, affine);
  const auto kept = hn::AndNot(clamped, valid);
  cuts->clamped += hn::CountTrue(d, hn::And(clamped, valid));
  cuts->non_finite += hn::CountTrue(d, hn::AndNot(finite, kept));
  cuts->saturated += hn::CountTrue(
      d, hn::And(hn::Ne(steps.rounded, steps.within), hn::And(kept, finite)));
  return steps.within;
}

// The code of each lane of `x`, still as a T; with kMask, 1 or 0 as
// GradientMask says. `valid` says which lanes count.
template <Order kOrder, bool kClamp, bool kMask, class D, class V, class M,
          typename T = hn::TFromD<D>>
HWY_INLINE V CodesOf(D d, V x, M valid, const AffineVectors<V>& affine,
                     const QuantizeRule<T>& rule, CutCounts* cuts) {
  Steps<V> steps = StepsOf<kOrder>(d, x, affine);
  auto exceptional = hn::Ne(steps.rounded, steps.within);
  if constexpr (kClamp) {
    exceptional =
        hn::Or(exceptional, hn::Or(hn::Lt(x, hn::Set(d, rule.clamp_min)),
                                   hn::Gt(x, hn::Set(d, rule.clamp_max))));
  }
  if constexpr (kMask) {
    return hn::IfThenElseZero(hn::AndNot(exceptional, valid), hn::Set(d, T{1}));
  }
  // Rare in most tensors, so that nothing is counted in most vectors.
  if (HWY_UNLIKELY(!hn::AllFalse(d, exceptional))) {
    steps.within = CountCuts<kOrder>(d, x, valid, affine, rule, cuts);
  }
  return hn::Add(steps.within, affine.add_last);
}

// Whole numbers in lanes of T to integers of type C in memory. `codes` has any
// alignment; with `count` below the number of lanes only so many are written.
template <class D, typename C, class V>
HWY_INLINE void StoreCodes(D d, V values, C* codes) {
  if constexpr (sizeof(hn::TFromD<D>) == 8) {
    const hn::Rebind<int32_t, D> di;
    if constexpr (hwy::IsSame<C, uint32_t>()) {
      // Through int32, 2^31 lower: no target converts to unsigned.
      const auto low = hn::DemoteTo(di, hn::Sub(values, hn::Set(d, 0x1p31)));
      const hn::RebindToUnsigned<decltype(di)> du;
      StoreLanes(du, hn::Xor(hn::BitCast(du, low), hn::Set(du, 0x80000000u)),
                 codes);
    } else if constexpr (hwy::IsSame<C, int32_t>()) {
      StoreLanes(di, hn::DemoteTo(di, values), codes);
    } else {
      const hn::Rebind<C, D> dc;
      StoreLanes(dc, hn::DemoteTo(dc, hn::DemoteTo(di, values)), codes);
    }
  } else {
    const hn::RebindToSigned<D> di;
    const hn::Rebind<C, D> dc;
    StoreLanes(dc, hn::DemoteTo(dc, hn::ConvertTo(di, values)), codes);
  }
}

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

// A kernel for one combination of template arguments, over all runs.
template <Order kOrder, bool kClamp, bool kMask, typename T, typename C>
HWY_NOINLINE void QuantizeRuns(const T* HWY_RESTRICT reals, Runs runs,
                               Pairs<T> pairs, const QuantizeRule<T>& rule,
                               C* HWY_RESTRICT codes, CutCounts* cuts) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const size_t lanes = hn::Lanes(d);
  constexpr size_t kMax = hn::MaxLanes(d);
  const auto all = hn::FirstN(d, lanes);

  const auto whole = [&](const AffineVectors<V>& affine) HWY_ATTR {
    StoreCodes(d,
               CodesOf<kOrder, kClamp, kMask>(d, LoadLanes(d, reals), all,
                                              affine, rule, cuts),
               codes);
    reals += lanes;
    codes += lanes;
  };
  // Fewer elements than lanes: through small arrays, padded with 0.
  const auto tail = [&](size_t count, const AffineVectors<V>& affine) HWY_ATTR {
    C few[kMax];
    StoreCodes(d,
               CodesOf<kOrder, kClamp, kMask>(
                   d, LoadFirst(d, reals, count, T{0}), hn::FirstN(d, count),
                   affine, rule, cuts),
               few);
    std::memcpy(codes, few, count * sizeof(C));
    reals += count;
    codes += count;
  };

  for (size_t r = 0; r < runs.count; ++r) {
    const Run& run = runs.runs[r];
    const T* scale = pairs.scale + run.pair;
    const int32_t* zero_point =
        pairs.zero_point == nullptr ? nullptr : pairs.zero_point + run.pair;
    if (run.step == 0) {
      for (size_t time = 0; time < run.times; ++time) {
        const T z =
            zero_point == nullptr ? T{0} : static_cast<T>(zero_point[time]);
        const AffineVectors<V> affine = MakeVectors<kOrder>(
            d, hn::Set(d, scale[time]), hn::Set(d, z), rule);
        size_t left = run.count;
        for (; left >= lanes; left -= lanes) whole(affine);
        if (left != 0) tail(left, affine);
      }
      continue;
    }
    size_t left = run.count;
    for (; left >= lanes; left -= lanes) {
      whole(MakeVectors<kOrder>(d, hn::LoadU(d, scale),
                                LoadZeroPoints(d, zero_point, lanes), rule));
      scale += lanes;
      if (zero_point != nullptr) zero_point += lanes;
    }
    if (left != 0) {
      tail(left,
           MakeVectors<kOrder>(d, LoadFirst(d, scale, left, T{1}),
                               LoadZeroPoints(d, zero_point, left), rule));
    }
  }
}

template <bool kMask, Order kOrder, typename T, typename C>
HWY_INLINE void QuantizeInOrder(const T* reals, Runs runs, Pairs<T> pairs,
                                const QuantizeRule<T>& rule, C* codes,
                                CutCounts* cuts) {
  // Only what is hot has a version without the clamp.
  constexpr bool kAlwaysClamps = sizeof(T) == 8;
  if (kAlwaysClamps || rule.clamps()) {
    QuantizeRuns<kOrder, true, kMask>(reals, runs, pairs, rule, codes, cuts);
  } else {
    QuantizeRuns<kOrder, kAlwaysClamps, kMask>(reals, runs, pairs, rule, codes,
                                               cuts);
  }
}

template <bool kMask, typename T, typename C>
HWY_INLINE void QuantizeAs(const T* reals, Runs runs, Pairs<T> pairs,
                           const QuantizeRule<T>& rule, C* codes,
                           CutCounts* cuts) {
  switch (rule.order) {
    case Order::kDivide:
      return QuantizeInOrder<kMask, Order::kDivide>(reals, runs, pairs, rule,
                                                    codes, cuts);
    case Order::kMultiply:
      return QuantizeInOrder<kMask, Order::kMultiply>(reals, runs, pairs, rule,
                                                      codes, cuts);
    case Order::kAddFirst:
      return QuantizeInOrder<kMask, Order::kAddFirst>(reals, runs, pairs, rule,
                                                      codes, cuts);
  }
}

template <typename T>
HWY_INLINE void QuantizeAny(const T* reals, Runs runs, Pairs<T> pairs,
                            const QuantizeRule<T>& rule, CodeKind kind,
                            void* codes, CutCounts* cuts) {
  const auto as = [&](auto* typed) HWY_ATTR {
    QuantizeAs<false>(reals, runs, pairs, rule, typed, cuts);
  };
  switch (kind) {
    case CodeKind::kU8:
      return as(static_cast<uint8_t*>(codes));
    case CodeKind::kI8:
      return as(static_cast<int8_t*>(codes));
    case CodeKind::kU16:
      return as(static_cast<uint16_t*>(codes));
    case CodeKind::kI16:
      return as(static_cast<int16_t*>(codes));
    case CodeKind::kU32:
      if constexpr (sizeof(T) == 8) as(static_cast<uint32_t*>(codes));
      return;
    case CodeKind::kI32:
      if constexpr (sizeof(T) == 8) as(static_cast<int32_t*>(codes));
      return;
  }
}

void QuantizeFloat(const float* reals, Runs runs, Pairs<float> pairs,
                   const QuantizeRule<float>& rule, CodeKind kind, void* codes,
                   CutCounts* cuts) {
  QuantizeAny(reals, runs, pairs, rule, kind, codes, cuts);
}

void QuantizeDouble(const double* reals, Runs runs, Pairs<double> pairs,
                    const QuantizeRule<double>& rule, CodeKind kind,
                    void* codes, CutCounts* cuts) {
  QuantizeAny(reals, runs, pairs, rule, kind, codes, cuts);
}

void MaskFloat(const float* reals, Runs runs, Pairs<float> pairs,
               const QuantizeRule<float>& rule, uint8_t* mask) {
  CutCounts cuts;
  QuantizeAs<true>(reals, runs, pairs, rule, mask, &cuts);
}

void MaskDouble(const double* reals, Runs runs, Pairs<double> pairs,
                const QuantizeRule<double>& rule, uint8_t* mask) {
  CutCounts cuts;
  QuantizeAs<true>(reals, runs, pairs, rule, mask, &cuts);
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

HWY_EXPORT(QuantizeFloat);
HWY_EXPORT(QuantizeDouble);
HWY_EXPORT(MaskFloat);
HWY_EXPORT(MaskDouble);
HWY_EXPORT(DequantizeFloat);
HWY_EXPORT(DequantizeDouble);

void Quantize(const float* reals, Runs runs, Pairs<float> pairs,
              const QuantizeRule<float>& rule, CodeKind kind, void* codes,
              CutCounts* cuts) {
  HWY_DYNAMIC_DISPATCH(QuantizeFloat)
  (reals, runs, pairs, rule, kind, codes, cuts);
}

void Quantize(const double* reals, Runs runs, Pairs<double> pairs,
              const QuantizeRule<double>& rule, CodeKind kind, void* codes,
              CutCounts* cuts) {
  HWY_DYNAMIC_DISPATCH(QuantizeDouble)
  (reals, runs, pairs, rule, kind, codes, cuts);
}

void GradientMask(const float* reals, Runs runs, Pairs<float> pairs,
                  const QuantizeRule<float>& rule, uint8_t* mask) {
  HWY_DYNAMIC_DISPATCH(MaskFloat)(reals, runs, pairs, rule, mask);
}

void GradientMask(const double* reals, Runs runs, Pairs<double> pairs,
                  const QuantizeRule<double>& rule, uint8_t* mask) {
  HWY_DYNAMIC_DISPATCH(MaskDouble)(reals, runs, pairs, rule, mask);
}

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

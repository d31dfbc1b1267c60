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

// The largest q for which adding and taking away Magic() rounds q to an
// integer, half to even, on every target: Highway's own Round differs on some.
template <typename T>
constexpr T Magic() {
  return sizeof(T) == 4 ? T{0x1.8p23} : T{0x1.8p52};
}

// A rule and one pair (or a vector of pairs) as vectors.
template <class V>
struct AffineVectors {
  V divisor;    // scale, or 1 / scale
  V add_first;  // zero point where it is added before rounding, else 0
  V low;        // smallest and largest number of steps that needs no cut
  V high;
  V add_last;  // zero point where it is added after rounding, else 0
};

template <class D, class V = hn::Vec<D>, typename T = hn::TFromD<D>>
HWY_INLINE AffineVectors<V> MakeVectors(D d, V scale, V zero_point,
                                        const QuantizeRule<T>& rule) {
  const V zero = hn::Zero(d);
  const V quant_min = hn::Set(d, rule.quant_min);
  const V quant_max = hn::Set(d, rule.quant_max);
  if (rule.order == Order::kAddFirst) {
    return {scale, zero_point, quant_min, quant_max, zero};
  }
  if (rule.order == Order::kMultiply) {
    scale = hn::Div(hn::Set(d, T{1}), scale);
  }
  return {scale, zero, hn::Sub(quant_min, zero_point),
          hn::Sub(quant_max, zero_point), zero_point};
}

// Counts of cuts, one per lane, as integers of T's size.
template <class D>
struct LaneCuts {
  using DI = hn::RebindToSigned<D>;
  using VI = hn::Vec<DI>;
  VI clamped;
  VI non_finite;
  VI saturated;

  // Not member initializers: an implicit constructor would lack the target's
  // attributes.
  static HWY_INLINE LaneCuts None() {
    const VI zero = hn::Zero(DI());
    return {zero, zero, zero};
  }

  template <class M>
  static HWY_INLINE VI Counted(VI count, M mask) {
    const DI di;
    return hn::Sub(count, hn::VecFromMask(di, hn::RebindMask(di, mask)));
  }
};

// The code of each lane of `x`, still as a T; with kMask, 1 or 0 as
// GradientMask says. `valid` says which lanes count.
template <bool kMultiply, bool kClamp, bool kMask, class D, class V, class M>
HWY_INLINE V CodesOf(D d, V x, M valid, const AffineVectors<V>& affine,
                     V clamp_min, V clamp_max, LaneCuts<D>& cuts) {
  using T = hn::TFromD<D>;
  const V largest = hn::Set(d, hwy::HighestValue<T>());
  const V one = hn::Set(d, T{1});
  auto kept = valid;
  if constexpr (kClamp) {
    const auto below = hn::Lt(x, clamp_min);
    const auto above = hn::Gt(x, clamp_max);
    const auto clamped = hn::Or(below, above);
    x = hn::IfThenElse(below, clamp_min, x);
    x = hn::IfThenElse(above, clamp_max, x);
    cuts.clamped = cuts.Counted(cuts.clamped, hn::And(clamped, valid));
    kept = hn::AndNot(clamped, valid);
  }
  const auto finite = hn::Le(hn::Abs(x), largest);  // false for NaN
  cuts.non_finite = cuts.Counted(cuts.non_finite, hn::AndNot(finite, kept));
  kept = hn::And(kept, finite);

  V steps = kMultiply ? hn::Mul(x, affine.divisor) : hn::Div(x, affine.divisor);
  steps = hn::IfThenElseZero(hn::Eq(x, x), steps);
  steps = hn::Add(steps, affine.add_first);
  // One past the ends still shows that a cut was made, and is small enough for
  // the rounding to be exact.
  steps = hn::Max(steps, hn::Sub(affine.low, one));
  steps = hn::Min(steps, hn::Add(affine.high, one));
  const V magic = hn::Set(d, Magic<T>());
  const V rounded = hn::Sub(hn::Add(steps, magic), magic);
  const V within = hn::Min(hn::Max(rounded, affine.low), affine.high);
  const auto cut = hn::Ne(rounded, within);
  cuts.saturated = cuts.Counted(cuts.saturated, hn::And(cut, kept));
  if constexpr (kMask) {
    return hn::IfThenElseZero(hn::AndNot(cut, kept), one);
  }
  return hn::Add(within, affine.add_last);
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
template <bool kMultiply, bool kClamp, bool kMask, typename T, typename C>
HWY_NOINLINE void QuantizeRuns(const T* HWY_RESTRICT reals, Runs runs,
                               Pairs<T> pairs, const QuantizeRule<T>& rule,
                               C* HWY_RESTRICT codes, CutCounts* cuts) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const size_t lanes = hn::Lanes(d);
  constexpr size_t kMax = hn::MaxLanes(d);
  const auto all = hn::FirstN(d, lanes);
  const V clamp_min = hn::Set(d, rule.clamp_min);
  const V clamp_max = hn::Set(d, rule.clamp_max);
  auto counts = LaneCuts<hn::ScalableTag<T>>::None();

  const auto step = [&](V x, auto valid,
                        const AffineVectors<V>& affine) HWY_ATTR {
    return CodesOf<kMultiply, kClamp, kMask>(d, x, valid, affine, clamp_min,
                                             clamp_max, counts);
  };
  // Fewer elements than lanes: through small arrays, padded with 0.
  const auto tail = [&](size_t count, const AffineVectors<V>& affine) HWY_ATTR {
    C few[kMax];
    StoreCodes(
        d, step(LoadFirst(d, reals, count, T{0}), hn::FirstN(d, count), affine),
        few);
    std::memcpy(codes, few, count * sizeof(C));
  };

  for (size_t r = 0; r < runs.count; ++r) {
    const Run& run = runs.runs[r];
    const T* scale = pairs.scale + run.pair;
    const int32_t* zero_point =
        pairs.zero_point == nullptr ? nullptr : pairs.zero_point + run.pair;
    size_t left = run.count;
    if (run.step == 0) {
      const V z = hn::Set(
          d, zero_point == nullptr ? T{0} : static_cast<T>(*zero_point));
      const AffineVectors<V> affine =
          MakeVectors(d, hn::Set(d, *scale), z, rule);
      for (; left >= lanes; left -= lanes, reals += lanes, codes += lanes) {
        StoreCodes(d, step(LoadLanes(d, reals), all, affine), codes);
      }
      if (left != 0) tail(left, affine);
    } else {
      for (; left >= lanes; left -= lanes, reals += lanes, codes += lanes) {
        const V z = LoadZeroPoints(d, zero_point, lanes);
        StoreCodes(d,
                   step(LoadLanes(d, reals), all,
                        MakeVectors(d, hn::LoadU(d, scale), z, rule)),
                   codes);
        scale += lanes;
        if (zero_point != nullptr) zero_point += lanes;
      }
      if (left != 0) {
        const V z = LoadZeroPoints(d, zero_point, left);
        tail(left, MakeVectors(d, LoadFirst(d, scale, left, T{1}), z, rule));
      }
    }
    reals += left;
    codes += left;
  }
  cuts->clamped += SumCounts(counts.clamped);
  cuts->non_finite += SumCounts(counts.non_finite);
  cuts->saturated += SumCounts(counts.saturated);
}

template <bool kMask, typename T, typename C>
HWY_INLINE void QuantizeAs(const T* reals, Runs runs, Pairs<T> pairs,
                           const QuantizeRule<T>& rule, C* codes,
                           CutCounts* cuts) {
  // Only what is hot has a version without the clamp.
  const bool clamps = sizeof(T) == 8 || rule.clamps();
  if (rule.order == Order::kMultiply) {
    clamps
        ? QuantizeRuns<true, true, kMask>(reals, runs, pairs, rule, codes, cuts)
        : QuantizeRuns<true, sizeof(T) == 8, kMask>(reals, runs, pairs, rule,
                                                    codes, cuts);
  } else {
    clamps ? QuantizeRuns<false, true, kMask>(reals, runs, pairs, rule, codes,
                                              cuts)
           : QuantizeRuns<false, sizeof(T) == 8, kMask>(reals, runs, pairs,
                                                        rule, codes, cuts);
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

  for (size_t r = 0; r < runs.count; ++r) {
    const Run& run = runs.runs[r];
    const T* scale = pairs.scale + run.pair;
    const int32_t* zero_point =
        pairs.zero_point == nullptr ? nullptr : pairs.zero_point + run.pair;
    V one_scale = hn::Set(d, *scale);
    V one_zero_point =
        hn::Set(d, zero_point == nullptr ? T{0} : static_cast<T>(*zero_point));
    size_t left = run.count;
    for (; left >= lanes; left -= lanes, codes += lanes, reals += lanes) {
      if (run.step != 0) {
        one_scale = hn::LoadU(d, scale);
        one_zero_point = LoadZeroPoints(d, zero_point, lanes);
        scale += lanes;
        if (zero_point != nullptr) zero_point += lanes;
      }
      StoreLanes(d, real_of(LoadCodes(d, codes), one_scale, one_zero_point),
                 reals);
    }
    if (left == 0) continue;
    if (run.step != 0) {
      one_scale = LoadFirst(d, scale, left, T{1});
      one_zero_point = LoadZeroPoints(d, zero_point, left);
    }
    C few_codes[kMax] = {};
    T few_reals[kMax];
    std::memcpy(few_codes, codes, left * sizeof(C));
    hn::StoreU(real_of(LoadCodes(d, few_codes), one_scale, one_zero_point), d,
               few_reals);
    std::memcpy(reals, few_reals, left * sizeof(T));
    codes += left;
    reals += left;
  }
}

// The rare runs whose code - zero_point is not exact in the lanes: taken in
// integers, and rounded once.
template <typename T, typename C>
HWY_NOINLINE void DequantizeFar(const C* codes, Runs runs, Pairs<T> pairs,
                                T* reals) {
  for (size_t r = 0; r < runs.count; ++r) {
    const Run& run = runs.runs[r];
    for (size_t k = 0; k < run.count; ++k, ++codes, ++reals) {
      const size_t pair = run.pair + k * run.step;
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

#include <bit>
#include <cstring>
#include <type_traits>

#include "core/kernels/affine.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/affine_quantize.cc"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/highway.h>

#include "core/kernels/lanes-inl.h"

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

// Magic<float>() as an integer.
constexpr int32_t kMagicBits = 0x4B400000;
static_assert(std::bit_cast<float>(kMagicBits) == Magic<float>());

// Steps are cut to this before they are rounded: as far outside of any code
// range as it takes to see that a code must be cut, whatever its zero point.
template <typename T>
constexpr T StepsMax() {
  return sizeof(T) == 4 ? T{0x1p21} : T{0x1p50};
}

// Codes as a kernel computes them. With T = float they are int32: the bits of
// steps + Magic() are whole numbers already. With T = double they stay in
// double.
template <class D>
struct CodeLanes {
  static constexpr bool kInt = sizeof(hn::TFromD<D>) == 4;
  using DI = hn::RebindToSigned<D>;
  using Tag = std::conditional_t<kInt, DI, D>;
  using V = hn::Vec<Tag>;
};

// One pair, or a vector of pairs.
template <class D>
struct PairLanes {
  hn::Vec<D> divisor;  // scale, or 1 / scale
  // kAddFirst adds the zero point before rounding, the others after it: to the
  // integer of Magic()'s bits if codes are int32.
  hn::Vec<D> add_first;
  typename CodeLanes<D>::V add_last;
};

// Without the zero point.
template <Order kOrder, class D, class V = hn::Vec<D>>
HWY_INLINE PairLanes<D> ScaleOnly(D d, V scale) {
  const typename CodeLanes<D>::Tag dc;
  V divisor = scale;
  if constexpr (kOrder == Order::kMultiply) {
    divisor = hn::Div(hn::Set(d, hn::TFromD<D>{1}), scale);
  }
  if constexpr (CodeLanes<D>::kInt) {
    return {divisor, hn::Zero(d), hn::Set(dc, -kMagicBits)};
  } else {
    return {divisor, hn::Zero(d), hn::Zero(dc)};
  }
}

// One pair for all lanes.
template <Order kOrder, class D, typename T = hn::TFromD<D>>
HWY_INLINE PairLanes<D> SharedPair(D d, T scale, int32_t zero_point) {
  const typename CodeLanes<D>::Tag dc;
  using C = hn::TFromD<decltype(dc)>;
  PairLanes<D> pair = ScaleOnly<kOrder>(d, hn::Set(d, scale));
  if constexpr (kOrder == Order::kAddFirst) {
    pair.add_first = hn::Set(d, static_cast<T>(zero_point));
  } else if constexpr (CodeLanes<D>::kInt) {
    pair.add_last = hn::Set(dc, zero_point - kMagicBits);
  } else {
    pair.add_last = hn::Set(dc, static_cast<C>(zero_point));
  }
  return pair;
}

// A pair for each of `count` lanes; `zero_point` may be null.
template <Order kOrder, class D, typename T = hn::TFromD<D>>
HWY_INLINE PairLanes<D> OwnPairs(D d, const T* scale, const int32_t* zero_point,
                                 size_t count) {
  PairLanes<D> pair = ScaleOnly<kOrder>(
      d, count == hn::Lanes(d) ? hn::LoadU(d, scale)
                               : LoadFirst(d, scale, count, T{1}));
  if (zero_point == nullptr) return pair;
  if constexpr (kOrder != Order::kAddFirst && CodeLanes<D>::kInt) {
    const typename CodeLanes<D>::Tag dc;
    pair.add_last =
        hn::Add(pair.add_last, count == hn::Lanes(dc)
                                   ? hn::LoadU(dc, zero_point)
                                   : LoadFirst(dc, zero_point, count, 0));
  } else if constexpr (kOrder == Order::kAddFirst) {
    pair.add_first = LoadZeroPoints(d, zero_point, count);
  } else {
    pair.add_last = LoadZeroPoints(d, zero_point, count);
  }
  return pair;
}

// The code of each real before it is cut to the code range. NaN gives something
// outside of every range, or NaN: it is always cut.
template <Order kOrder, class D, class V>
HWY_INLINE typename CodeLanes<D>::V Uncut(D d, V x, const PairLanes<D>& pair) {
  using T = hn::TFromD<D>;
  V steps = kOrder == Order::kMultiply ? hn::Mul(x, pair.divisor)
                                       : hn::Div(x, pair.divisor);
  if constexpr (kOrder == Order::kAddFirst) {
    steps = hn::Add(steps, pair.add_first);
  }
  steps = hn::Max(steps, hn::Set(d, -StepsMax<T>()));
  steps = hn::Min(steps, hn::Set(d, StepsMax<T>()));
  const V magic = hn::Set(d, Magic<T>());
  if constexpr (CodeLanes<D>::kInt) {
    const typename CodeLanes<D>::Tag dc;
    return hn::Add(hn::BitCast(dc, hn::Add(steps, magic)), pair.add_last);
  } else {
    return hn::Add(hn::Sub(hn::Add(steps, magic), magic), pair.add_last);
  }
}

// A rule as vectors.
template <class D>
struct RuleLanes {
  typename CodeLanes<D>::V quant_min;
  typename CodeLanes<D>::V quant_max;
  hn::Vec<D> clamp_min;
  hn::Vec<D> clamp_max;
};

template <class D, typename T = hn::TFromD<D>>
HWY_INLINE RuleLanes<D> MakeRule(D d, const QuantizeRule<T>& rule) {
  const typename CodeLanes<D>::Tag dc;
  using C = hn::TFromD<decltype(dc)>;
  return {hn::Set(dc, static_cast<C>(rule.quant_min)),
          hn::Set(dc, static_cast<C>(rule.quant_max)),
          hn::Set(d, rule.clamp_min), hn::Set(d, rule.clamp_max)};
}

// Codes cut to their range, and where that, the clamp or a real that is not
// finite made an exception: there CountCuts has the last word.
template <class D>
struct CutCodes {
  typename CodeLanes<D>::V codes;
  hn::Mask<D> exceptional;
};

template <Order kOrder, bool kClamp, class D, class V>
HWY_INLINE CutCodes<D> Cut(D d, V x, const PairLanes<D>& pair,
                           const RuleLanes<D>& rule) {
  const auto uncut = Uncut<kOrder>(d, x, pair);
  const auto codes = hn::Min(hn::Max(uncut, rule.quant_min), rule.quant_max);
  auto exceptional = hn::RebindMask(d, hn::Ne(uncut, codes));
  if constexpr (kClamp) {
    exceptional = hn::Or(exceptional, hn::Or(hn::Lt(x, rule.clamp_min),
                                             hn::Gt(x, rule.clamp_max)));
  }
  return {codes, exceptional};
}

// The codes of a vector in which some real is an exception, with all that this
// entails. `valid` says which lanes count.
template <Order kOrder, class D, class V, class M>
HWY_NOINLINE typename CodeLanes<D>::V CountCuts(D d, V x, M valid,
                                                const PairLanes<D>& pair,
                                                const RuleLanes<D>& rule,
                                                CutCounts* cuts) {
  using T = hn::TFromD<D>;
  const auto below = hn::Lt(x, rule.clamp_min);
  const auto above = hn::Gt(x, rule.clamp_max);
  const auto clamped = hn::Or(below, above);
  x = hn::IfThenElse(below, rule.clamp_min, x);
  x = hn::IfThenElse(above, rule.clamp_max, x);
  // False for NaN.
  const auto finite = hn::Le(hn::Abs(x), hn::Set(d, hwy::HighestValue<T>()));
  // NaN takes the code of 0.
  const V number = hn::IfThenElseZero(hn::Eq(x, x), x);
  const CutCodes<D> cut = Cut<kOrder, false>(d, number, pair, rule);
  const auto kept = hn::AndNot(clamped, valid);
  cuts->clamped += hn::CountTrue(d, hn::And(clamped, valid));
  cuts->non_finite += hn::CountTrue(d, hn::AndNot(finite, kept));
  cuts->saturated +=
      hn::CountTrue(d, hn::And(cut.exceptional, hn::And(kept, finite)));
  return cut.codes;
}

// CodeLanes to integers of type C in memory, any alignment.
template <class D, typename C, class V>
HWY_INLINE void StoreCodes(D d, V values, C* codes) {
  if constexpr (!CodeLanes<D>::kInt) {
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
    // Codes are within C already: cutting bits off is cheaper than saturating.
    using U = hwy::MakeUnsigned<C>;
    const hn::Rebind<U, D> dc;
    const hn::RebindToUnsigned<typename CodeLanes<D>::Tag> du;
    StoreLanes(dc, hn::TruncateTo(dc, hn::BitCast(du, values)),
               reinterpret_cast<U*>(codes));
  }
}

// With kMask, 1 or 0 for each lane instead of its code.
template <bool kMask, class D>
HWY_INLINE typename CodeLanes<D>::V Stored(D, const CutCodes<D>& cut) {
  if constexpr (!kMask) return cut.codes;
  const typename CodeLanes<D>::Tag dc;
  using C = hn::TFromD<decltype(dc)>;
  return hn::IfThenZeroElse(hn::RebindMask(dc, cut.exceptional),
                            hn::Set(dc, C{1}));
}

// Vectors whose exceptions are counted later, so that the loop over all vectors
// has neither a branch nor a call.
constexpr size_t kLaterMax = 128;

// One kernel for one combination of template arguments.
template <Order kOrder, bool kClamp, bool kMask, typename T, typename C>
struct Quantizer {
  using D = hn::ScalableTag<T>;
  using V = hn::Vec<D>;

  const Pairs<T> pairs;
  const QuantizeRule<T>& rule;
  CutCounts* cuts;

  // `times` runs of `count` elements, a multiple of lanes and at most kLaterMax
  // vectors, each run with the next pair.
  HWY_INLINE void Whole(const T* HWY_RESTRICT reals, size_t count, size_t times,
                        const T* HWY_RESTRICT scale,
                        const int32_t* HWY_RESTRICT zero_point,
                        const RuleLanes<D>& limits, C* HWY_RESTRICT codes) {
    const D d;
    const size_t lanes = hn::Lanes(d);
    const auto all = hn::FirstN(d, lanes);
    const auto pair_of = [=](size_t time) HWY_ATTR {
      return SharedPair<kOrder>(D(), scale[time],
                                zero_point == nullptr ? 0 : zero_point[time]);
    };
    const size_t at_once = kLaterMax * lanes / count;
    for (size_t first = 0; first < times; first += at_once) {
      const size_t last = HWY_MIN(times, first + at_once);
      size_t later[kLaterMax];
      size_t later_count = 0;
      for (size_t time = first; time < last; ++time) {
        const PairLanes<D> pair = pair_of(time);
        const size_t end = (time + 1) * count;
        for (size_t i = time * count; i < end; i += lanes) {
          const CutCodes<D> cut =
              Cut<kOrder, kClamp>(d, LoadAhead(d, reals + i), pair, limits);
          StoreCodes(d, Stored<kMask>(d, cut), codes + i);
          if constexpr (!kMask) {
            later[later_count] = i;
            later_count += hn::AllFalse(d, cut.exceptional) ? 0U : 1U;
          }
        }
      }
      for (size_t k = 0; k < later_count; ++k) {
        const size_t i = later[k];
        const V x = LoadLanes(d, reals + i);
        StoreCodes(
            d, CountCuts<kOrder>(d, x, all, pair_of(i / count), limits, cuts),
            codes + i);
      }
    }
  }

  // One vector, of which `count` elements are there.
  HWY_INLINE void One(const T* reals, size_t count, const PairLanes<D>& pair,
                      const RuleLanes<D>& limits, C* codes) {
    const D d;
    const size_t lanes = hn::Lanes(d);
    const V x =
        count == lanes ? LoadAhead(d, reals) : LoadFirst(d, reals, count, T{0});
    CutCodes<D> cut = Cut<kOrder, kClamp>(d, x, pair, limits);
    if (!kMask && HWY_UNLIKELY(!hn::AllFalse(d, cut.exceptional))) {
      cut.codes =
          CountCuts<kOrder>(d, x, hn::FirstN(d, count), pair, limits, cuts);
    }
    constexpr size_t kMax = hn::MaxLanes(d);
    if (kMax == 1 || count == lanes) {
      StoreCodes(d, Stored<kMask>(d, cut), codes);
      return;
    }
    C few[kMax];
    StoreCodes(d, Stored<kMask>(d, cut), few);
    std::memcpy(codes, few, count * sizeof(C));
  }

  HWY_INLINE void All(const T* HWY_RESTRICT reals, Runs runs,
                      C* HWY_RESTRICT codes) {
    const D d;
    const size_t lanes = hn::Lanes(d);
    const RuleLanes<D> limits = MakeRule(d, rule);
    for (size_t r = 0; r < runs.count; ++r) {
      const Run& run = runs.runs[r];
      const T* scale = pairs.scale + run.pair;
      const int32_t* zero_point =
          pairs.zero_point == nullptr ? nullptr : pairs.zero_point + run.pair;
      if (run.step == 0) {
        const size_t whole = run.count / lanes * lanes;
        const size_t part_max = kLaterMax * lanes;
        if (whole == run.count && whole != 0 && whole <= part_max) {
          Whole(reals, whole, run.times, scale, zero_point, limits, codes);
          reals += run.elements();
          codes += run.elements();
          continue;
        }
        for (size_t time = 0; time < run.times; ++time) {
          const int32_t* z =
              zero_point == nullptr ? nullptr : zero_point + time;
          for (size_t i = 0; i < whole; i += part_max) {
            Whole(reals + i, HWY_MIN(part_max, whole - i), 1, scale + time, z,
                  limits, codes + i);
          }
          if (whole != run.count) {
            One(reals + whole, run.count - whole,
                SharedPair<kOrder>(d, scale[time], z == nullptr ? 0 : *z),
                limits, codes + whole);
          }
          reals += run.count;
          codes += run.count;
        }
        continue;
      }
      for (size_t i = 0; i < run.count; i += lanes) {
        const size_t count = HWY_MIN(lanes, run.count - i);
        One(reals + i, count,
            OwnPairs<kOrder>(d, scale + i,
                             zero_point == nullptr ? nullptr : zero_point + i,
                             count),
            limits, codes + i);
      }
      reals += run.count;
      codes += run.count;
    }
  }
};

template <bool kMask, Order kOrder, typename T, typename C>
HWY_NOINLINE void QuantizeInOrder(const T* reals, Runs runs, Pairs<T> pairs,
                                  const QuantizeRule<T>& rule, C* codes,
                                  CutCounts* cuts) {
  // Only what is hot has a version without the clamp.
  constexpr bool kAlwaysClamps = sizeof(T) == 8;
  if (kAlwaysClamps || rule.clamps()) {
    Quantizer<kOrder, true, kMask, T, C>{pairs, rule, cuts}.All(reals, runs,
                                                                codes);
  } else {
    Quantizer<kOrder, kAlwaysClamps, kMask, T, C>{pairs, rule, cuts}.All(
        reals, runs, codes);
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

}  // namespace halfstep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace halfstep::kernels {

HWY_EXPORT(QuantizeFloat);
HWY_EXPORT(QuantizeDouble);
HWY_EXPORT(MaskFloat);
HWY_EXPORT(MaskDouble);

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

}  // namespace halfstep::kernels
#endif  // HWY_ONCE

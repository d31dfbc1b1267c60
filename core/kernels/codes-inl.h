// From vectors of reals to vectors of codes, on every target: what the loops of
// affine_quantize.cc are made of.
//
// Included once per target, as lanes-inl.h is.
#if defined(HALFSTEP_CORE_KERNELS_CODES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFSTEP_CORE_KERNELS_CODES_INL_H_
#undef HALFSTEP_CORE_KERNELS_CODES_INL_H_
#else
#define HALFSTEP_CORE_KERNELS_CODES_INL_H_
#endif

#include <hwy/highway.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "core/kernels/affine.h"
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

}  // namespace halfstep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard

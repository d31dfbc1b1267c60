// The range of the finite reals among vectors, on every target.
//
// Included once per target, as lanes-inl.h is.
#if defined(HALFSTEP_CORE_KERNELS_RANGES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFSTEP_CORE_KERNELS_RANGES_INL_H_
#undef HALFSTEP_CORE_KERNELS_RANGES_INL_H_
#else
#define HALFSTEP_CORE_KERNELS_RANGES_INL_H_
#endif

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace halfstep::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Lane by lane. High is held negated, so that both ends are reduced at once.
template <class D>
struct RangeLanes {
  hn::Vec<D> low;
  hn::Vec<D> negated_high;
};

template <class D>
HWY_INLINE RangeLanes<D> EmptyRange(D d) {
  return {hn::Inf(d), hn::Inf(d)};
}

template <class D, class V>
HWY_INLINE void Widen(D d, V x, RangeLanes<D>& range) {
  using T = hn::TFromD<D>;
  const V infinity = hn::Inf(d);
  // False for NaN.
  const auto finite = hn::Le(hn::Abs(x), hn::Set(d, hwy::HighestValue<T>()));
  range.low = hn::Min(range.low, hn::IfThenElse(finite, x, infinity));
  range.negated_high =
      hn::Min(range.negated_high, hn::IfThenElse(finite, hn::Neg(x), infinity));
}

// Widens [*low, *high] to all lanes of `range`.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void WidenTo(D d, const RangeLanes<D>& range, T* low, T* high) {
  T range_low;
  T range_high;
#if HWY_TARGET == HWY_SCALAR
  (void)d;
  range_low = hn::GetLane(range.low);
  range_high = -hn::GetLane(range.negated_high);
#else
  // The halves of both ends in one vector: lows below, negated highs above.
  const hn::Half<D> dh;
  const auto both =
      hn::Min(hn::ConcatLowerLower(d, range.negated_high, range.low),
              hn::ConcatUpperUpper(d, range.negated_high, range.low));
  range_low = hn::GetLane(hn::MinOfLanes(dh, hn::LowerHalf(dh, both)));
  range_high = -hn::GetLane(hn::MinOfLanes(dh, hn::UpperHalf(dh, both)));
#endif
  if (range_low < *low) *low = range_low;
  if (range_high > *high) *high = range_high;
}

}  // namespace halfstep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard

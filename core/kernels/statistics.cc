#include "core/kernels/statistics.h"

#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/statistics.cc"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/highway.h>

#include "core/kernels/lanes-inl.h"
#include "core/kernels/ranges-inl.h"

HWY_BEFORE_NAMESPACE();
namespace halfstep::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Runs of up to so many vectors are short.
constexpr size_t kShortRunVectors = 8;

// The range of one run whose elements share a pair.
template <typename T>
HWY_INLINE void RangeOfRun(const T* reals, size_t count, T* low, T* high) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const size_t lanes = hn::Lanes(d);
  const V largest = hn::Set(d, hwy::HighestValue<T>());
  const V infinity = hn::Inf(d);
  const V minus_infinity = hn::Neg(infinity);
  // Four pairs of accumulators hide the latency of min and max.
  V low0 = infinity, low1 = infinity, low2 = infinity, low3 = infinity;
  V high0 = minus_infinity, high1 = minus_infinity, high2 = minus_infinity,
    high3 = minus_infinity;
  const auto widen = [&](V x, V& vlow, V& vhigh) HWY_ATTR {
    const auto finite = hn::Le(hn::Abs(x), largest);  // false for NaN
    vlow = hn::Min(vlow, hn::IfThenElse(finite, x, infinity));
    vhigh = hn::Max(vhigh, hn::IfThenElse(finite, x, minus_infinity));
  };
  size_t i = 0;
  for (; i + 4 * lanes <= count; i += 4 * lanes) {
    widen(LoadAhead(d, reals + i), low0, high0);
    widen(LoadAhead(d, reals + i + lanes), low1, high1);
    widen(LoadAhead(d, reals + i + 2 * lanes), low2, high2);
    widen(LoadAhead(d, reals + i + 3 * lanes), low3, high3);
  }
  for (; i + lanes <= count; i += lanes) {
    widen(LoadAhead(d, reals + i), low0, high0);
  }
  if (i < count) {
    // Padded with NaN, which takes no part.
    widen(
        LoadFirst(d, reals + i, count - i, std::numeric_limits<T>::quiet_NaN()),
        low1, high1);
  }
  low0 = hn::Min(hn::Min(low0, low1), hn::Min(low2, low3));
  high0 = hn::Max(hn::Max(high0, high1), hn::Max(high2, high3));
  const T run_low = hn::GetLane(hn::MinOfLanes(d, low0));
  const T run_high = hn::GetLane(hn::MaxOfLanes(d, high0));
  if (run_low < *low) *low = run_low;
  if (run_high > *high) *high = run_high;
}

// The ranges of `times` short runs of equal length, a few vectors each: what
// counts here is the reduction, made once for both ends.
template <typename T>
HWY_INLINE void RangesOfShortRuns(const T* reals, size_t count, size_t times,
                                  T* low, T* high) {
  const hn::ScalableTag<T> d;
  const size_t lanes = hn::Lanes(d);
  for (size_t time = 0; time < times; ++time) {
    auto range = EmptyRange(d);
    for (size_t i = 0; i < count; i += lanes, reals += lanes) {
      Widen(d, LoadAhead(d, reals), range);
    }
    WidenTo(d, range, low + time, high + time);
  }
}

// The ranges of a run where each element has its own pair.
template <typename T>
HWY_INLINE void RangeOfRow(const T* reals, size_t count, T* low, T* high) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const size_t lanes = hn::Lanes(d);
  const V largest = hn::Set(d, hwy::HighestValue<T>());
  const V infinity = hn::Inf(d);
  const V minus_infinity = hn::Neg(infinity);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const V x = LoadAhead(d, reals + i);
    const auto finite = hn::Le(hn::Abs(x), largest);
    hn::StoreU(
        hn::Min(hn::LoadU(d, low + i), hn::IfThenElse(finite, x, infinity)), d,
        low + i);
    hn::StoreU(hn::Max(hn::LoadU(d, high + i),
                       hn::IfThenElse(finite, x, minus_infinity)),
               d, high + i);
  }
  for (; i < count; ++i) {
    T x;
    std::memcpy(&x, reals + i, sizeof(x));
    if (!(std::fabs(x) <= std::numeric_limits<T>::max())) continue;
    if (x < low[i]) low[i] = x;
    if (x > high[i]) high[i] = x;
  }
}

template <typename T>
HWY_INLINE void RangesOfRuns(const T* reals, Runs runs, T* low, T* high) {
  for (size_t r = 0; r < runs.count; ++r) {
    const Run& run = runs.runs[r];
    if (run.step != 0) {
      RangeOfRow(reals, run.count, low + run.pair, high + run.pair);
      reals += run.count;
      continue;
    }
    const size_t lanes = hn::Lanes(hn::ScalableTag<T>());
    if (run.count % lanes == 0 && run.count <= kShortRunVectors * lanes) {
      RangesOfShortRuns(reals, run.count, run.times, low + run.pair,
                        high + run.pair);
      reals += run.elements();
      continue;
    }
    for (size_t pair = run.pair; pair < run.pair + run.times; ++pair) {
      RangeOfRun(reals, run.count, low + pair, high + pair);
      reals += run.count;
    }
  }
}

void RangesFloat(const float* reals, Runs runs, float* low, float* high) {
  RangesOfRuns(reals, runs, low, high);
}

void RangesDouble(const double* reals, Runs runs, double* low, double* high) {
  RangesOfRuns(reals, runs, low, high);
}

// `x` as doubles.
template <class D, typename T>
HWY_INLINE hn::Vec<D> LoadDoubles(D d, const T* from) {
  if constexpr (sizeof(T) == 8) {
    return LoadLanes(d, from);
  } else {
    return hn::PromoteTo(d, LoadLanes(hn::Rebind<T, D>(), from));
  }
}

// Sums of the elements of some lanes of the groups of 8.
template <class D>
struct SumLanes {
  hn::Vec<D> squared_error;
  hn::Vec<D> absolute_error;
  hn::Vec<D> squared_real;
  hn::Vec<D> squared_reconstructed;
  hn::Vec<D> product;
  hn::Vec<D> max_error;
  uint64_t elements;
};

// Adds a vector of each group of 8, from its element `first` on. Unless
// `kLeaveOut`, every element is taken for finite: one that is not makes a sum
// of squares infinite or NaN, for good.
template <bool kLeaveOut, class D, typename T>
HWY_INLINE SumLanes<D> AddLanes(D d, const T* reals, const T* reconstructed,
                                size_t count, size_t first, SumLanes<D> sums) {
  using V = hn::Vec<D>;
  const V largest = hn::Set(d, hwy::HighestValue<double>());
  for (size_t i = first; i < count; i += 8) {
    V real = LoadDoubles(d, reals + i);
    V back = LoadDoubles(d, reconstructed + i);
    if constexpr (kLeaveOut) {
      const auto finite = hn::And(hn::Le(hn::Abs(real), largest),
                                  hn::Le(hn::Abs(back), largest));
      real = hn::IfThenElseZero(finite, real);
      back = hn::IfThenElseZero(finite, back);
      sums.elements += hn::CountTrue(d, finite);
    }
    const V error = hn::Sub(real, back);
    const V magnitude = hn::Abs(error);
    sums.max_error = hn::Max(sums.max_error, magnitude);
    // A product and a sum, each rounded: never fused.
    sums.squared_error = hn::Add(sums.squared_error, hn::Mul(error, error));
    sums.absolute_error = hn::Add(sums.absolute_error, magnitude);
    sums.squared_real = hn::Add(sums.squared_real, hn::Mul(real, real));
    sums.squared_reconstructed =
        hn::Add(sums.squared_reconstructed, hn::Mul(back, back));
    sums.product = hn::Add(sums.product, hn::Mul(real, back));
  }
  if constexpr (!kLeaveOut) {
    sums.elements += count / 8 * hn::Lanes(d);
  }
  return sums;
}

// Adds whole groups of 8 elements, lane by lane: a target with N lanes of
// float64 makes 8 / N passes over elements that are in the cache.
template <typename T>
HWY_INLINE void AddGroups(const T* reals, const T* reconstructed, size_t count,
                          double* max_error, ErrorSums* sums) {
  using D = hn::CappedTag<double, 8>;
  using Sums = SumLanes<D>;
  const D d;
  const size_t lanes = hn::Lanes(d);
  const auto largest = hn::Set(d, hwy::HighestValue<double>());
  for (size_t j = 0; j < 8; j += lanes) {
    const Sums before = {hn::LoadU(d, sums->squared_error + j),
                         hn::LoadU(d, sums->absolute_error + j),
                         hn::LoadU(d, sums->squared_real + j),
                         hn::LoadU(d, sums->squared_reconstructed + j),
                         hn::LoadU(d, sums->product + j),
                         hn::Set(d, *max_error),
                         sums->element_count};
    Sums after = AddLanes<false>(d, reals, reconstructed, count, j, before);
    const auto finite = hn::And(hn::Le(after.squared_real, largest),
                                hn::Le(after.squared_reconstructed, largest));
    if (!hn::AllTrue(d, finite)) {
      // Some element is not finite, or float64 sums have grown past their end.
      after = AddLanes<true>(d, reals, reconstructed, count, j, before);
    }
    hn::StoreU(after.squared_error, d, sums->squared_error + j);
    hn::StoreU(after.absolute_error, d, sums->absolute_error + j);
    hn::StoreU(after.squared_real, d, sums->squared_real + j);
    hn::StoreU(after.squared_reconstructed, d, sums->squared_reconstructed + j);
    hn::StoreU(after.product, d, sums->product + j);
    sums->element_count = after.elements;
    *max_error = hn::GetLane(hn::MaxOfLanes(d, after.max_error));
  }
}

template <typename T>
HWY_INLINE void AddAnyErrors(const T* reals, const T* reconstructed,
                             size_t count, uint64_t first, ErrorSums* sums) {
  double max_error = sums->max_absolute_error;
  const size_t whole = count / 8 * 8;
  AddGroups(reals, reconstructed, whole, &max_error, sums);
  if (whole < count) {
    // The tensor's last elements, padded with pairs of 0 that add nothing.
    T few_reals[8] = {};
    T few_reconstructed[8] = {};
    std::memcpy(few_reals, reals + whole, (count - whole) * sizeof(T));
    std::memcpy(few_reconstructed, reconstructed + whole,
                (count - whole) * sizeof(T));
    AddGroups(few_reals, few_reconstructed, 8, &max_error, sums);
    sums->element_count -= 8 - (count - whole);
  }
  if (!(max_error > sums->max_absolute_error)) return;
  // A new maximum, rare after the first elements: find where it is first.
  // (None if every error of 0 belongs to an element that is left out.)
  for (size_t i = 0; i < count; ++i) {
    T real;
    T back;
    std::memcpy(&real, reals + i, sizeof(T));
    std::memcpy(&back, reconstructed + i, sizeof(T));
    if (!std::isfinite(real) || !std::isfinite(back)) continue;
    if (std::fabs(static_cast<double>(real) - static_cast<double>(back)) ==
        max_error) {
      sums->max_absolute_error = max_error;
      sums->max_absolute_error_index = first + i;
      return;
    }
  }
}

void ErrorsFloat(const float* reals, const float* reconstructed, size_t count,
                 uint64_t first, ErrorSums* sums) {
  AddAnyErrors(reals, reconstructed, count, first, sums);
}

void ErrorsDouble(const double* reals, const double* reconstructed,
                  size_t count, uint64_t first, ErrorSums* sums) {
  AddAnyErrors(reals, reconstructed, count, first, sums);
}

}  // namespace halfstep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace halfstep::kernels {

HWY_EXPORT(RangesFloat);
HWY_EXPORT(RangesDouble);
HWY_EXPORT(ErrorsFloat);
HWY_EXPORT(ErrorsDouble);

void WidenRanges(const float* reals, Runs runs, float* low, float* high) {
  HWY_DYNAMIC_DISPATCH(RangesFloat)(reals, runs, low, high);
}

void WidenRanges(const double* reals, Runs runs, double* low, double* high) {
  HWY_DYNAMIC_DISPATCH(RangesDouble)(reals, runs, low, high);
}

void AddErrors(const float* reals, const float* reconstructed, size_t count,
               uint64_t first, ErrorSums* sums) {
  HWY_DYNAMIC_DISPATCH(ErrorsFloat)(reals, reconstructed, count, first, sums);
}

void AddErrors(const double* reals, const double* reconstructed, size_t count,
               uint64_t first, ErrorSums* sums) {
  HWY_DYNAMIC_DISPATCH(ErrorsDouble)(reals, reconstructed, count, first, sums);
}

}  // namespace halfstep::kernels
#endif  // HWY_ONCE

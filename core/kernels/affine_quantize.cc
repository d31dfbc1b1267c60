#include <cstring>

#include "core/kernels/affine.h"
#include "core/kernels/statistics.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/affine_quantize.cc"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/highway.h>

#include "core/kernels/codes-inl.h"
#include "core/kernels/ranges-inl.h"

HWY_BEFORE_NAMESPACE();
namespace halfstep::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Vectors whose exceptions are counted later, so that the loop over all vectors
// has neither a branch nor a call.
constexpr size_t kLaterMax = 128;

// Whether Quantizer::Whole takes all of `run`.
template <typename T>
HWY_INLINE bool IsWhole(const Run& run) {
  const size_t lanes = hn::Lanes(hn::ScalableTag<T>());
  return run.step == 0 && run.count != 0 && run.count % lanes == 0 &&
         run.count <= kLaterMax * lanes;
}

// One kernel for one combination of template arguments.
template <Order kOrder, bool kClamp, bool kMask, typename T, typename C>
struct Quantizer {
  using D = hn::ScalableTag<T>;
  using V = hn::Vec<D>;

  const Pairs<T> pairs;
  const QuantizeRule<T>& rule;
  CutCounts* cuts;

  // `times` runs of `count` elements, a multiple of lanes and at most kLaterMax
  // vectors, each run with the next pair. With kNext the ranges of as many
  // equal runs at next.reals are found in the same loop, which waits for the
  // divider and for memory at once.
  template <bool kNext = false>
  HWY_INLINE void Whole(const T* HWY_RESTRICT reals, size_t count, size_t times,
                        const T* HWY_RESTRICT scale,
                        const int32_t* HWY_RESTRICT zero_point,
                        const RuleLanes<D>& limits, C* HWY_RESTRICT codes,
                        const RangesToWiden<T>& next = {}) {
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
        RangeLanes<D> range = EmptyRange(d);
        for (size_t i = time * count; i < end; i += lanes) {
          V x;
          if constexpr (kNext) {
            x = LoadLanes(d, reals + i);
            Widen(d, LoadAhead(d, next.reals + i), range);
          } else {
            x = LoadAhead(d, reals + i);
          }
          const CutCodes<D> cut = Cut<kOrder, kClamp>(d, x, pair, limits);
          StoreCodes(d, Stored<kMask>(d, cut), codes + i);
          if constexpr (!kMask) {
            later[later_count] = i;
            later_count += hn::AllFalse(d, cut.exceptional) ? 0U : 1U;
          }
        }
        if constexpr (kNext) {
          WidenTo(d, range, next.low + time, next.high + time);
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
        if (IsWhole<T>(run)) {
          Whole(reals, run.count, run.times, scale, zero_point, limits, codes);
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

template <Order kOrder, typename C>
HWY_NOINLINE void QuantizeAndWidenInOrder(const float* reals, const Run& run,
                                          Pairs<float> pairs,
                                          const QuantizeRule<float>& rule,
                                          C* codes, CutCounts* cuts,
                                          const RangesToWiden<float>& next) {
  Quantizer<kOrder, false, false, float, C> quantizer{pairs, rule, cuts};
  quantizer.template Whole<true>(
      reals, run.count, run.times, pairs.scale + run.pair,
      pairs.zero_point == nullptr ? nullptr : pairs.zero_point + run.pair,
      MakeRule(hn::ScalableTag<float>(), rule), codes, next);
}

// False, and nothing done, unless `run` is whole, no real is clamped, the order
// is not kAddFirst, and codes take a byte: no other combination is worth a loop
// of its own.
bool QuantizeAndWidenFloat(const float* reals, const Run& run,
                           Pairs<float> pairs, const QuantizeRule<float>& rule,
                           CodeKind kind, void* codes, CutCounts* cuts,
                           const RangesToWiden<float>& next) {
  if (!IsWhole<float>(run) || rule.clamps()) return false;
  const auto as = [&](auto* typed) HWY_ATTR {
    switch (rule.order) {
      case Order::kDivide:
        QuantizeAndWidenInOrder<Order::kDivide>(reals, run, pairs, rule, typed,
                                                cuts, next);
        return true;
      case Order::kMultiply:
        QuantizeAndWidenInOrder<Order::kMultiply>(reals, run, pairs, rule,
                                                  typed, cuts, next);
        return true;
      case Order::kAddFirst:
        break;
    }
    return false;
  };
  if (kind == CodeKind::kU8) return as(static_cast<uint8_t*>(codes));
  if (kind == CodeKind::kI8) return as(static_cast<int8_t*>(codes));
  return false;
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
HWY_EXPORT(QuantizeAndWidenFloat);
HWY_EXPORT(MaskFloat);
HWY_EXPORT(MaskDouble);

namespace {

template <typename T>
void WidenNext(const Run& like, const RangesToWiden<T>& next) {
  const Run run = {
      .count = like.count, .pair = 0, .step = 0, .times = like.times};
  WidenRanges(next.reals, {&run, 1}, next.low, next.high);
}

}  // namespace

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

void QuantizeAndWiden(const float* reals, const Run& run, Pairs<float> pairs,
                      const QuantizeRule<float>& rule, CodeKind kind,
                      void* codes, CutCounts* cuts,
                      const RangesToWiden<float>& next) {
  if (HWY_DYNAMIC_DISPATCH(QuantizeAndWidenFloat)(reals, run, pairs, rule, kind,
                                                  codes, cuts, next)) {
    return;
  }
  Quantize(reals, {&run, 1}, pairs, rule, kind, codes, cuts);
  WidenNext(run, next);
}

void QuantizeAndWiden(const double* reals, const Run& run, Pairs<double> pairs,
                      const QuantizeRule<double>& rule, CodeKind kind,
                      void* codes, CutCounts* cuts,
                      const RangesToWiden<double>& next) {
  Quantize(reals, {&run, 1}, pairs, rule, kind, codes, cuts);
  WidenNext(run, next);
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

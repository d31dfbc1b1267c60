// Loads and stores that the kernels of every target share.
//
// Included once per target, after foreach_target.h: hence the guard that
// toggles, as Highway's documentation describes for -inl.h files.
#if defined(HALFSTEP_CORE_KERNELS_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFSTEP_CORE_KERNELS_LANES_INL_H_
#undef HALFSTEP_CORE_KERNELS_LANES_INL_H_
#else
#define HALFSTEP_CORE_KERNELS_LANES_INL_H_
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace halfstep::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// A whole vector from memory of any alignment. HWY_SCALAR's own LoadU wants
// the element's alignment.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE hn::Vec<D> LoadLanes(D d, const T* from) {
#if HWY_TARGET == HWY_SCALAR
  T lane;
  std::memcpy(&lane, from, sizeof(lane));
  return hn::Set(d, lane);
#else
  return hn::LoadU(d, from);
#endif
}

// How far before their use reals are asked for. From 1 KiB to 16 KiB nothing
// changes much; without it, what is computed for a vector keeps the processor
// from looking far enough ahead for itself (docs/benchmarks.md).
constexpr uintptr_t kAheadBytes = 2048;

// LoadLanes in a loop over much memory. Nothing is read past the end.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE hn::Vec<D> LoadAhead(D d, const T* from) {
  hwy::Prefetch(reinterpret_cast<const std::byte*>(from) + kAheadBytes);
  return LoadLanes(d, from);
}

// A whole vector to memory of any alignment.
template <class D, class V, typename T = hn::TFromD<D>>
HWY_INLINE void StoreLanes(D d, V vector, T* to) {
#if HWY_TARGET == HWY_SCALAR
  (void)d;
  const T lane = hn::GetLane(vector);
  std::memcpy(to, &lane, sizeof(lane));
#else
  hn::StoreU(vector, d, to);
#endif
}

// `count` elements, fewer than lanes, then `padding`.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE hn::Vec<D> LoadFirst(D d, const T* from, size_t count, T padding) {
  T lanes[hn::MaxLanes(d)];
  for (T& lane : lanes) lane = padding;
  std::memcpy(lanes, from, count * sizeof(T));
  return hn::LoadU(d, lanes);
}

// `count` zero points, at most as many as lanes, as lanes of T; 0 if there are
// none.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE hn::Vec<D> LoadZeroPoints(D d, const int32_t* from, size_t count) {
  if (from == nullptr) return hn::Zero(d);
  if constexpr (sizeof(T) == 8) {
    const hn::Rebind<int32_t, D> di;
    return hn::PromoteTo(d, count == hn::Lanes(d)
                                ? hn::LoadU(di, from)
                                : LoadFirst(di, from, count, 0));
  } else {
    const hn::RebindToSigned<D> di;
    return hn::ConvertTo(d, count == hn::Lanes(d)
                                ? hn::LoadU(di, from)
                                : LoadFirst(di, from, count, 0));
  }
}

// The sum of counts held one per lane. Integers: the order does not matter.
template <class V>
HWY_INLINE uint64_t SumCounts(V counts) {
  const hn::DFromV<V> d;
  hn::TFromD<decltype(d)> lanes[hn::MaxLanes(d)];
  hn::StoreU(counts, d, lanes);
  uint64_t sum = 0;
  for (size_t i = 0; i < hn::Lanes(d); ++i) {
    sum += static_cast<uint64_t>(lanes[i]);
  }
  return sum;
}

}  // namespace halfstep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard

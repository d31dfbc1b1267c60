// What all kernels share: runs, code kinds and the pairs that they look up.
#ifndef HALFSTEP_CORE_KERNELS_RUN_H_
#define HALFSTEP_CORE_KERNELS_RUN_H_

#include <cstddef>
#include <cstdint>

namespace halfstep::kernels {

// Contiguous elements, a kernel's unit: element k uses pair `pair + k * step`.
// With step 0 they share one pair; with step 1 each has its own. Equal runs
// that follow each other with consecutive pairs are one Run, `times` over: step
// is 0.
struct Run {
  size_t count;
  size_t pair;
  size_t step;
  size_t times = 1;

  size_t elements() const { return count * times; }
};

struct Runs {
  const Run* runs;
  size_t count;
};

// One integer code in memory.
enum class CodeKind : uint8_t { kU8, kI8, kU16, kI16, kU32, kI32 };

// Scales and zero points, looked up by Run::pair. T is the arithmetic's type,
// float or double. Every scale is finite, positive and normal.
template <typename T>
struct Pairs {
  const T* scale;
  const int32_t* zero_point;  // null: all are 0
  // Whether a zero point is past 2^23 in magnitude: then code - zero_point may
  // not be exact in float32.
  bool far_zero_points = false;
};

}  // namespace halfstep::kernels

#endif  // HALFSTEP_CORE_KERNELS_RUN_H_

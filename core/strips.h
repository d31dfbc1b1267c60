// Reals and codes a strip at a time, as kernels want them: contiguous, in the
// arithmetic's type, small enough to stay in the cache.
#ifndef HALFSTEP_CORE_STRIPS_H_
#define HALFSTEP_CORE_STRIPS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <vector>

#include "core/data_type.h"
#include "core/kernels/run.h"
#include "core/tensor.h"

namespace halfstep {

// Elements per unit of parallel work and of the order in which error sums are
// taken (docs/numerics.md, section 7).
inline constexpr size_t kBlockElements = 65536;

// Blocks that stay on one thread: another one is not there before they are
// done. Of a pass over the elements, and of one that sums errors besides, at
// half the pace or less (docs/adr/0008-where-a-call-is-computed.md).
inline constexpr size_t kBlocksTogether = 8;
inline constexpr size_t kMeasuredBlocksTogether = 2;

// Elements per strip where intermediate results go through scratch memory: 8
// KiB of float64, so that a few such arrays and what is asked for ahead stay in
// a first-level cache (docs/benchmarks.md).
inline constexpr size_t kStripElements = 1024;

// Elements of a portion (QuantizePass::RunPortions), two of which, of float32,
// stay in a first-level cache: the longest strip that uses scratch memory.
inline constexpr size_t kPortionElements = 2048;
static_assert(kStripElements <= kPortionElements);
static_assert(kBlockElements % kPortionElements == 0);

// Elements per strip where no scratch memory is needed: the cost of a kernel
// call is then hidden, and the runs of a strip stay few.
inline constexpr size_t kDirectStripElements = 16384;

// One thread's scratch memory, made once. Which function uses which array is
// said where it does. None is held across a strip, but for the reals of the
// next portion in `gathered` or `widened` (QuantizePass::RunPortions).
struct Scratch {
  alignas(64) std::byte gathered[kPortionElements * sizeof(double)];
  alignas(64) std::byte widened[kPortionElements * sizeof(double)];
  alignas(64) std::byte codes[kPortionElements * sizeof(uint32_t)];
  alignas(64) std::byte reconstructed[kPortionElements * sizeof(double)];
  alignas(64) std::byte narrowed[kPortionElements * sizeof(double)];
  alignas(64) std::byte compared[2][kPortionElements * sizeof(double)];
  alignas(64) uint8_t mask[kPortionElements];
  std::vector<kernels::Run> runs;

  // This thread's.
  static Scratch& Get();
};

// Consecutive elements of `size` bytes within `pieces`, from element `first`
// on: at most `count`, and a multiple of 8 unless it is all of them, so that
// the next ones begin a group of 8 again. In place where they lie in one piece,
// else gathered.
struct Strip {
  const std::byte* data;
  size_t count;
};
Strip StripOf(const Pieces& pieces, size_t size, size_t first, size_t count,
              Scratch& scratch);

// `count` reals as numbers of T: in place if they are, else in `widened`.
// T = float takes no FLOAT64. Any alignment.
template <typename T>
const T* Widened(DataType dtype, const std::byte* reals, size_t count,
                 std::byte* widened);

// `count` numbers of T as reals of `dtype`, rounded once and saturated.
template <typename T>
void Narrow(const T* from, size_t count, DataType dtype, std::byte* reals);

// The integer that holds a code of `size` bytes.
kernels::CodeKind CodeKindOf(size_t size, bool is_signed);

}  // namespace halfstep

#endif  // HALFSTEP_CORE_STRIPS_H_

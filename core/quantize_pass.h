// Static quantization's only pass, dynamic quantization's second one, or its
// only one where slices are short: codes, reconstructions, cuts and error sums,
// a block at a time.
#ifndef HALFSTEP_CORE_QUANTIZE_PASS_H_
#define HALFSTEP_CORE_QUANTIZE_PASS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "core/kernels/affine.h"
#include "core/kernels/statistics.h"
#include "core/pair_table.h"
#include "core/quantize.h"
#include "core/range_pass.h"
#include "core/slice_layout.h"
#include "core/strips.h"

namespace halfstep {

// What a pass writes. Empty spans are not written.
struct QuantizeOutputs {
  absl::Span<std::byte> codes;
  absl::Span<std::byte> reconstructed;
  absl::Span<std::byte> gradient_mask;
  bool measure_error = false;
};

// A part of a tensor: the elements [first, first + count). `first` is a
// multiple of kBlockElements, and so is count unless the tensor ends there.
struct Window {
  size_t first;
  size_t count;
};

struct WindowResult {
  Cuts cuts;
  // One per block, if wanted.
  std::vector<kernels::ErrorSums> errors;
};

// quantize_pass.cc
template <typename T>
struct Portion;

// T is the arithmetic's type. Made for one call.
template <typename T>
class QuantizePass {
 public:
  // All references must outlive the pass; sizes fit.
  QuantizePass(const QuantizePlan& plan, const Pieces& reals,
               const QuantizeOutputs& outputs, const Execution& execution);

  // The same for a window alone: `reals` need only hold the window's (their
  // offsets are those of the tensor), and `outputs` are the window's own.
  QuantizePass(const QuantizePlan& plan, const Window& window,
               const Pieces& reals, const QuantizeOutputs& outputs,
               const Execution& execution);

  // As Quantize and FakeQuantize say.
  absl::StatusOr<QuantizeResult> Run();

  // Quantizes the window with the pairs of its slots. Errors as for Run.
  absl::StatusOr<WindowResult> RunWindow(const SlotPairs<T>& pairs);

 private:
  // Pairs of the slices that a block touches.
  using BlockPairs = SlotPairs<T>;

  absl::Status FindParameters();
  absl::Status RunBlocks();
  void RunBlock(size_t block);
  // Chooses the parameters of the slices that [first, end) touches, reading
  // them whole: at both ends a little more than the block.
  BlockPairs ChooseForBlock(size_t first, size_t end, Scratch& scratch);
  // Quantizes the block [first, end), which is whole slices, choosing their
  // parameters a portion at a time.
  void RunPortions(size_t first, size_t end, Scratch& scratch,
                   kernels::CutCounts* cuts, kernels::ErrorSums* errors);
  // Chooses the pairs of `portion` from its ranges, for parameters_, too. Its
  // first slice has `slot`.
  BlockPairs ChooseForPortion(size_t slot, Portion<T>& portion);
  // Makes the pairs [first, end) of `pairs` the result's.
  struct Kept {
    size_t first;
    size_t end;
  };
  void Keep(const BlockPairs& pairs, const Kept& kept);
  // With `next`, the ranges of as many equal slices are found besides; the
  // strip is then one Run. Uses neither scratch.gathered nor, unless the reals
  // are widened, scratch.widened.
  void RunStrip(size_t first, const Strip& strip, const BlockPairs& pairs,
                Scratch& scratch, kernels::CutCounts* cuts,
                kernels::ErrorSums* errors,
                const kernels::RangesToWiden<T>* next = nullptr);
  // Each writes the strip's codes and mask, and the reconstruction as numbers
  // of T to scratch.reconstructed where it is wanted.
  void IntegerCodes(size_t first, const Strip& strip, const BlockPairs& pairs,
                    Scratch& scratch, kernels::CutCounts* cuts,
                    const kernels::RangesToWiden<T>* next);
  void FloatCodes(size_t first, const Strip& strip, Scratch& scratch,
                  kernels::CutCounts* cuts);
  void StoreMask(size_t first, size_t count, const Scratch& scratch);
  void RejectNonFinite(size_t first, const Strip& strip, Scratch& scratch);
  bool reconstructs() const {
    return !outputs_.reconstructed.empty() || outputs_.measure_error;
  }

  const QuantizePlan& plan_;
  const Pieces& reals_;
  const QuantizeOutputs outputs_;
  const Execution& execution_;
  const SliceLayout layout_;
  const kernels::RangeRule<T> rule_;
  const Window window_;
  // Whether parameters are chosen as blocks are quantized, so that memory is
  // read once: for a whole block before it, or for a portion of it at a time.
  const bool fused_;
  const bool by_portions_;
  const size_t strip_max_;

  std::optional<PairTable<T>> table_;  // unless fused, or codes are floats
  // What table_ holds, or the pairs given for a window.
  std::optional<SlotPairs<T>> known_;
  Parameters parameters_;                   // the result's
  std::vector<kernels::ErrorSums> errors_;  // one per block, if wanted

  absl::Mutex mutex_;
  kernels::CutCounts cuts_ ABSL_GUARDED_BY(mutex_);
  size_t first_non_finite_ ABSL_GUARDED_BY(mutex_);
};

extern template class QuantizePass<float>;
extern template class QuantizePass<double>;

}  // namespace halfstep

#endif  // HALFSTEP_CORE_QUANTIZE_PASS_H_

// From codes back to reals, a block at a time.
#ifndef HALFSTEP_CORE_DEQUANTIZE_PASS_H_
#define HALFSTEP_CORE_DEQUANTIZE_PASS_H_

#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "core/executor.h"
#include "core/pair_table.h"
#include "core/quantize.h"
#include "core/slice_layout.h"
#include "core/strips.h"

namespace halfstep {

// T is the arithmetic's type.
template <typename T>
class CodeReader {
 public:
  // `plan` is static. Both must outlive the reader; sizes fit.
  CodeReader(const QuantizePlan& plan, const Pieces& codes);

  // For a window of a tensor: the pairs of its slots are given, `codes` need
  // only hold the window's (their offsets are those of the tensor), and `plan`
  // need not be static.
  CodeReader(const QuantizePlan& plan, const Pieces& codes,
             const SlotPairs<T>& pairs);

  // Writes the reconstructions of `count` codes from element `first` on, a
  // multiple of 8, to `reconstructed` as numbers of T, at any alignment.
  // INVALID_ARGUMENT ("codes") if a code is outside the code range or a padding
  // bit is set. Uses scratch.gathered, codes and runs. Thread-safe.
  absl::Status Read(size_t first, size_t count, Scratch& scratch,
                    std::byte* reconstructed) const;

 private:
  absl::Status ReadFloats(size_t first, size_t count, Scratch& scratch,
                          std::byte* reconstructed) const;

  const QuantizePlan& plan_;
  const Pieces& codes_;
  const SliceLayout layout_;
  const std::optional<PairTable<T>> table_;
  const SlotPairs<T> pairs_;
};

// Calls visit(first, count, reals) for each strip of the tensor, where `reals`
// are the reconstructions in `dtype`: written to `output` if that is not
// empty, else somewhere that lasts for the call.
absl::Status ForEachReconstructed(
    const QuantizePlan& plan, const Pieces& codes, DataType dtype,
    const Execution& execution, absl::Span<std::byte> output,
    absl::FunctionRef<void(size_t first, size_t count, const std::byte* reals)>
        visit);

// Writes the reconstructions of the elements [first, first + count) in `dtype`
// to `output`; `first` is a multiple of kBlockElements. Errors as for
// CodeReader::Read, the first one in the order of elements.
template <typename T>
absl::Status DequantizeWindow(const CodeReader<T>& reader, size_t first,
                              size_t count, DataType dtype,
                              const Execution& execution,
                              absl::Span<std::byte> output);

}  // namespace halfstep

#endif  // HALFSTEP_CORE_DEQUANTIZE_PASS_H_

// Quantizing a tensor of any size in bounded memory: reals in pieces in, pairs
// and codes in pieces out.
//
//   static    pairs are given, each before the reals that need it
//   dynamic   pairs are chosen as soon as the reals of their slices have come
#ifndef HALFSTEP_CORE_QUANTIZE_STREAM_H_
#define HALFSTEP_CORE_QUANTIZE_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/error_report.h"
#include "core/executor.h"
#include "core/tensor_stream.h"

namespace halfstep {

// Used by one thread at a time.
class QuantizeStream {
 public:
  // Dynamic: INVALID_ARGUMENT or RESOURCE_EXHAUSTED as QuantizePlan::Dynamic;
  // FAILED_PRECONDITION if more reals than limits.buffered_bytes_max would have
  // to be held back before their pairs are known.
  static absl::StatusOr<std::unique_ptr<QuantizeStream>> Dynamic(
      const Spec& spec, DataType dtype, absl::Span<const int64_t> shape,
      bool measure_error, const TensorStreamLimits& limits);

  // Static: `parameters` may lack pairs, which then come by AddPairs. Errors as
  // for QuantizePlan::Static.
  static absl::StatusOr<std::unique_ptr<QuantizeStream>> Static(
      const Parameters& parameters, DataType dtype,
      absl::Span<const int64_t> shape, bool measure_error,
      const TensorStreamLimits& limits);

  virtual ~QuantizeStream() = default;

  // The resolved spec with the pairs that were given from the start.
  virtual const Parameters& parameters() const = 0;

  // Static only. INVALID_ARGUMENT, with a path relative to the piece, if a pair
  // cannot be one, or if there are more than the tensor needs.
  // RESOURCE_EXHAUSTED if more are held at once than limits.pairs_max. Scales
  // are rounded to the arithmetic's type in `pairs`.
  virtual absl::Status AddPairs(PairPiece& pairs) = 0;

  // Reals that follow; the memory is needed until Keep, which follows once
  // there is no more window. INVALID_ARGUMENT ("data") if there are more than
  // the tensor has, or if one needs a pair that has not come.
  virtual absl::Status Add(const Pieces& data) = 0;
  virtual void Keep() = 0;

  // Nothing follows. INVALID_ARGUMENT if data or pairs are missing.
  virtual absl::Status End() = 0;

  // The next window that can be quantized now, if there is one.
  virtual std::optional<Window> Next() const = 0;
  uint64_t CodeBytesOf(const Window& window) const;

  // Quantizes that window to `codes`, CodeBytesOf(window) bytes; also returns
  // the pairs that were chosen for it, which follow those before. Errors as for
  // Quantize.
  virtual absl::StatusOr<PairPiece> Run(const Window& window,
                                        const Execution& execution,
                                        absl::Span<std::byte> codes) = 0;

  // After End, and the last window: pairs that no window needed, since the
  // tensor has no elements.
  virtual absl::StatusOr<PairPiece> Rest(const Execution& execution) = 0;

  // Bytes held beside the data that was added last.
  virtual uint64_t held_bytes() const = 0;

  int64_t element_count() const { return plan().element_count(); }

  // Of all windows.
  virtual const Cuts& cuts() const = 0;
  virtual std::optional<ErrorReport> Report() const = 0;

 protected:
  virtual const QuantizePlan& plan() const = 0;
};

}  // namespace halfstep

#endif  // HALFSTEP_CORE_QUANTIZE_STREAM_H_

// Dequantizing a tensor of any size in bounded memory: pairs and codes in
// pieces in, reals in pieces out.
#ifndef HALFSTEP_CORE_DEQUANTIZE_STREAM_H_
#define HALFSTEP_CORE_DEQUANTIZE_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/executor.h"
#include "core/tensor_stream.h"

namespace halfstep {

// Used by one thread at a time.
class DequantizeStream {
 public:
  // `parameters` may lack pairs, which then come by AddPairs. `dtype` is the
  // type that the reals had, and have again. Errors as for
  // QuantizePlan::Static.
  static absl::StatusOr<std::unique_ptr<DequantizeStream>> Begin(
      const Parameters& parameters, DataType dtype,
      absl::Span<const int64_t> shape, const TensorStreamLimits& limits);

  virtual ~DequantizeStream() = default;

  // As for QuantizeStream; the field of the data is "codes".
  virtual absl::Status AddPairs(PairPiece& pairs) = 0;
  virtual absl::Status Add(const Pieces& codes) = 0;
  virtual void Keep() = 0;
  virtual absl::Status End() = 0;
  virtual std::optional<Window> Next() const = 0;
  uint64_t RealBytesOf(const Window& window) const {
    return window.count * ByteSize(plan().dtype());
  }

  // Writes the reals of the next window, RealBytesOf(window) bytes. Errors as
  // for Dequantize.
  virtual absl::Status Run(const Window& window, const Execution& execution,
                           absl::Span<std::byte> reals) = 0;

  virtual uint64_t held_bytes() const = 0;
  int64_t element_count() const { return plan().element_count(); }

 protected:
  virtual const QuantizePlan& plan() const = 0;
};

}  // namespace halfstep

#endif  // HALFSTEP_CORE_DEQUANTIZE_STREAM_H_

// Tensors of any size, a window at a time: what both directions share.
//
// Where the data and the pairs are cut carries no meaning: the windows add up
// to the result of the unary operation, bit for bit.
#ifndef HALFSTEP_CORE_TENSOR_STREAM_H_
#define HALFSTEP_CORE_TENSOR_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/held_bytes.h"
#include "core/parameters.h"
#include "core/quantize.h"
#include "core/quantize_pass.h"
#include "core/slice_layout.h"

namespace halfstep {

struct TensorStreamLimits {
  // Bytes of data that may be held back.
  uint64_t buffered_bytes_max;
  // Pairs that may be held at once. More may come in pieces.
  uint64_t pairs_max;
};

// Pairs that follow others.
struct PairPiece {
  std::vector<double> scale;
  std::vector<int32_t> zero_point;  // empty if symmetric
};

// Counts the bytes of a tensor as they come, and says which window is next.
class StreamedTensor {
 public:
  // `field`            "data" or "codes", for messages.
  // `element_bits`     bits from one element to the next.
  // `total_bytes`      of the whole tensor.
  // `window_elements`  the most elements of a window, whole blocks.
  StreamedTensor(const QuantizePlan& plan, absl::string_view field,
                 uint64_t element_bits, uint64_t total_bytes,
                 size_t window_elements);

  // As for HeldBytes::Add. INVALID_ARGUMENT (`field`) if there are more bytes
  // than the tensor has.
  absl::Status Add(const Pieces& bytes);
  void Keep() { held_.Keep(); }

  // INVALID_ARGUMENT (`field`) unless all bytes have come.
  absl::Status CheckWhole() const;
  bool is_whole() const { return held_.end() == total_bytes_; }

  // Elements that have come whole, and those of which a part has.
  size_t whole_elements() const;
  size_t begun_elements() const;

  // The next window within the elements before `end`, if there is one: whole
  // blocks, or all that is left of the tensor.
  std::optional<Window> Next(size_t end) const;
  // The window is done with.
  void Finish(const Window& window);

  Pieces View() const { return held_.View(); }
  size_t kept_bytes() const { return held_.kept_bytes(); }
  absl::string_view field() const { return field_; }
  size_t element_count() const { return element_count_; }
  const SliceLayout& layout() const { return layout_; }

 private:
  const SliceLayout layout_;
  const absl::string_view field_;
  const uint64_t element_bits_;
  const uint64_t total_bytes_;
  const size_t element_count_;
  const size_t window_elements_;
  HeldBytes held_;
  size_t first_ = 0;  // of the next window
};

// Elements of a window whose bytes, `bits` per element, stay about 2 MiB: small
// enough for a client with gRPC's default limit of 4 MiB per message.
size_t WindowElements(uint64_t bits_in, uint64_t bits_out);

// A plan of `spec` for a stream. Pairs may be more than limits.pairs_max only
// where they are needed one after the other.
absl::StatusOr<QuantizePlan> PlanStream(const Spec& spec, DataType dtype,
                                        absl::Span<const int64_t> shape,
                                        const TensorStreamLimits& limits);

}  // namespace halfstep

#endif  // HALFSTEP_CORE_TENSOR_STREAM_H_

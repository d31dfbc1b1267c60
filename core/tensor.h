// Dense row-major tensors, and memory that comes in pieces.
#ifndef HALFSTEP_CORE_TENSOR_H_
#define HALFSTEP_CORE_TENSOR_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/data_type.h"

namespace halfstep {

// At most kRankMax dimensions, each >= 0. Empty for a scalar.
using Shape = absl::InlinedVector<int64_t, 8>;
inline constexpr size_t kRankMax = 8;

// Checks `shape` and counts its elements.
//
// INVALID_ARGUMENT ("shape") if there are more than kRankMax dimensions, if one
// is negative, or if the product of those that are not 0 reaches 2^63.
// Allocates nothing.
absl::StatusOr<int64_t> ElementCount(absl::Span<const int64_t> shape);

// Read-only bytes in one or more pieces of memory, in order. The cuts carry no
// meaning: an element may straddle two pieces, and no piece need be aligned.
// Refers to memory that it does not own. Thread-safe once built.
class Pieces {
 public:
  Pieces() = default;
  // Pieces to come whose first byte is byte `offset` of a whole of which only a
  // part is in memory. All offsets below are those of the whole.
  static Pieces From(size_t offset) {
    Pieces pieces;
    pieces.size_ = offset;
    return pieces;
  }
  // One piece, wherever that is all there is.
  explicit Pieces(absl::Span<const std::byte> bytes) { Append(bytes); }

  void Append(absl::Span<const std::byte> piece);

  size_t size() const { return size_; }

  // `count` bytes from `offset` on, in one piece. Points into the memory
  // itself where they lie in one piece, otherwise they are gathered in
  // `scratch`, which holds at least `count`.
  // Requires offset + count <= size().
  const std::byte* Contiguous(size_t offset, size_t count,
                              std::byte* scratch) const;

  // How many bytes from `offset` on lie in one piece; 0 at the end.
  size_t ContiguousCount(size_t offset) const;

 private:
  struct Piece {
    const std::byte* data;
    size_t begin;  // offset of its first byte
    size_t size;
  };
  // The piece that holds byte `offset`.
  const Piece& At(size_t offset) const;

  absl::InlinedVector<Piece, 4> pieces_;
  size_t size_ = 0;
};

// A tensor of reals, little-endian and row-major without padding.
struct TensorView {
  DataType dtype = DataType::kFloat32;
  Shape shape;
  Pieces reals;
};

// Checks that `byte_count` bytes are what `dtype` and `shape` need, and counts
// the elements. INVALID_ARGUMENT ("shape", or `bytes_field`) otherwise.
absl::StatusOr<int64_t> CheckTensor(DataType dtype,
                                    absl::Span<const int64_t> shape,
                                    size_t byte_count,
                                    absl::string_view bytes_field);

}  // namespace halfstep

#endif  // HALFSTEP_CORE_TENSOR_H_

#include "core/tensor.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"
#include "core/field_error.h"

namespace halfstep {

absl::StatusOr<int64_t> ElementCount(absl::Span<const int64_t> shape) {
  if (shape.size() > kRankMax) {
    return FieldError(
        "shape",
        absl::StrCat(shape.size(), " dimensions; must be at most ", kRankMax));
  }
  // The product without the zeros must fit too: strides are made of it.
  int64_t product = 1;
  bool empty = false;
  for (size_t i = 0; i < shape.size(); ++i) {
    const int64_t dimension = shape[i];
    if (dimension < 0) {
      return FieldError("shape",
                        absl::StrCat("dimension ", i, " is ", dimension,
                                     "; must be 0 or more"));
    }
    if (dimension == 0) {
      empty = true;
      continue;
    }
    if (product > std::numeric_limits<int64_t>::max() / dimension) {
      return FieldError(
          "shape",
          "the product of the dimensions overflows; must be below 2^63");
    }
    product *= dimension;
  }
  return empty ? 0 : product;
}

void Pieces::Append(absl::Span<const std::byte> piece) {
  if (piece.empty()) return;
  pieces_.push_back({piece.data(), size_, piece.size()});
  size_ += piece.size();
}

const Pieces::Piece& Pieces::At(size_t offset) const {
  // The last piece that begins at or before the offset.
  const auto after = std::upper_bound(
      pieces_.begin(), pieces_.end(), offset,
      [](size_t value, const Piece& piece) { return value < piece.begin; });
  return *(after - 1);
}

size_t Pieces::ContiguousCount(size_t offset) const {
  if (offset >= size_) return 0;
  const Piece& piece = At(offset);
  return piece.begin + piece.size - offset;
}

const std::byte* Pieces::Contiguous(size_t offset, size_t count,
                                    std::byte* scratch) const {
  if (count == 0) return scratch;
  const Piece* piece = &At(offset);
  size_t within = offset - piece->begin;
  if (within + count <= piece->size) return piece->data + within;
  for (size_t done = 0; done < count; ++piece, within = 0) {
    const size_t part = std::min(count - done, piece->size - within);
    std::memcpy(scratch + done, piece->data + within, part);
    done += part;
  }
  return scratch;
}

absl::StatusOr<int64_t> CheckTensor(DataType dtype,
                                    absl::Span<const int64_t> shape,
                                    size_t byte_count,
                                    absl::string_view bytes_field) {
  const absl::StatusOr<int64_t> count = ElementCount(shape);
  if (!count.ok()) return count.status();
  // Divided, not multiplied: the count may be near 2^63.
  const uint64_t size = ByteSize(dtype);
  if (byte_count % size != 0 ||
      static_cast<uint64_t>(*count) != byte_count / size) {
    return FieldError(
        bytes_field,
        absl::StrCat(byte_count, " bytes; must be ", *count, " elements of ",
                     size, " bytes for ", Name(dtype), " and this shape"));
  }
  return count;
}

}  // namespace halfstep

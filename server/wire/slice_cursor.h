// Reading protobuf's primitives from a message that came in several slices.
#ifndef HALFSTEP_SERVER_WIRE_SLICE_CURSOR_H_
#define HALFSTEP_SERVER_WIRE_SLICE_CURSOR_H_

#include <grpcpp/support/slice.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/functional/function_ref.h"

namespace halfstep {

// What was read of a message; that of most fits without an allocation.
using ReadBytes = absl::InlinedVector<char, 256>;

// A position in the bytes of several slices. Everything that it reads it
// appends to `out`, from which the caller cuts what it does not want.
class SliceCursor {
 public:
  explicit SliceCursor(const std::vector<grpc::Slice>& slices)
      : slices_(slices) {
    for (const grpc::Slice& slice : slices) left_ += slice.size();
  }

  // Bytes from here to the end.
  size_t left() const { return left_; }

  // Reads a varint of at most `bytes_max` bytes, dropping the bits that do not
  // fit.
  bool Varint(int bytes_max, ReadBytes& out, uint64_t& value) {
    value = 0;
    for (int i = 0; i < bytes_max; ++i) {
      if (left_ == 0) return false;
      const uint8_t byte = Next();
      out.push_back(static_cast<char>(byte));
      if (i < 9) value |= uint64_t{byte & 0x7fu} << (7 * i);
      if (byte < 0x80) return true;
    }
    return false;
  }

  bool Copy(size_t count, ReadBytes& out) {
    if (count > left_) return false;
    Pass(count, [&out](const uint8_t* data, size_t size) {
      out.insert(out.end(), data, data + size);
    });
    return true;
  }

  // Passes the next `count` bytes to `take`, piece by piece.
  // Requires count <= left().
  void Pass(size_t count,
            absl::FunctionRef<void(const uint8_t*, size_t)> take) {
    left_ -= count;
    while (count > 0) {
      SkipToNext();
      const grpc::Slice& slice = slices_[index_];
      const size_t size = std::min(count, slice.size() - offset_);
      take(slice.begin() + offset_, size);
      count -= size;
      offset_ += size;
    }
  }

 private:
  // To a slice with a byte left. Requires that there is one.
  void SkipToNext() {
    while (offset_ == slices_[index_].size()) {
      ++index_;
      offset_ = 0;
    }
  }

  // Requires left() > 0.
  uint8_t Next() {
    SkipToNext();
    --left_;
    return slices_[index_].begin()[offset_++];
  }

  const std::vector<grpc::Slice>& slices_;
  size_t index_ = 0;   // the slice
  size_t offset_ = 0;  // in that slice
  size_t left_ = 0;
};

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_WIRE_SLICE_CURSOR_H_

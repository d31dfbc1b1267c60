// The header of a NumPy file: a Python dictionary in text, such as
//
//   {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
//
// Read by a small strict parser: nothing in it is ever evaluated.
#ifndef HALFSTEP_CLIENT_NPY_HEADER_H_
#define HALFSTEP_CLIENT_NPY_HEADER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace halfstep {

// The types of one element that are read and written.
enum class NpyType : uint8_t {
  kFloat16,
  kFloat32,
  kFloat64,
  kInt8,
  kInt16,
  kInt32,
  kUint8,
  kUint16,
  kUint32
};

// Bytes of one element: 1, 2, 4 or 8.
size_t ByteSize(NpyType type);

// As NumPy names it in a file, little-endian: "<f4", "|u1".
absl::string_view Descr(NpyType type);

struct NpyHeader {
  NpyType type = NpyType::kFloat32;
  bool big_endian = false;
  bool fortran_order = false;  // the first index varies fastest
  std::vector<int64_t> shape;  // each >= 0; empty for a scalar
  uint64_t data_bytes = 0;     // what follows the header
  bool operator==(const NpyHeader&) const = default;
};

// Parses the text of a header, with or without its padding.
//
// INVALID_ARGUMENT, naming the part at fault, if the text is not a dictionary
// with exactly the keys 'descr', 'fortran_order' and 'shape', if the elements
// are of a type that is not read here (Python objects above all), if a
// dimension is negative or if the size of the array in bytes reaches 2^63.
absl::StatusOr<NpyHeader> ParseNpyHeader(absl::string_view text);

// The text for little-endian elements in row-major order, without padding.
std::string FormatNpyHeader(NpyType type, absl::Span<const int64_t> shape);

// A shape as Python writes it: "()", "(3,)", "(3, 4)".
std::string FormatShape(absl::Span<const int64_t> shape);

}  // namespace halfstep

#endif  // HALFSTEP_CLIENT_NPY_HEADER_H_

// NumPy's file format, .npy, versions 1.0 to 3.0.
//
//   \x93NUMPY, version (2 bytes), header length (2 bytes; 4 from version 2 on),
//   header, elements
//
// Trusts nothing: every length is checked against the file's size before
// anything of that length is allocated.
#ifndef HALFSTEP_CLIENT_NPY_H_
#define HALFSTEP_CLIENT_NPY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/npy_header.h"

namespace halfstep {

// A dense array, row-major and little-endian whatever the file had.
struct NpyArray {
  NpyType type = NpyType::kFloat32;
  std::vector<int64_t> shape;
  std::string bytes;
};

// Reads `path`. Elements in Fortran order are put in row-major order,
// big-endian ones are swapped.
//
// NOT_FOUND or PERMISSION_DENIED if there is no such file to read;
// INVALID_ARGUMENT if it is not a well-formed .npy file of a type that is read:
// cut off, followed by other bytes, pickled, or with a header that is wrong.
// The message starts with the path.
absl::StatusOr<NpyArray> ReadNpy(const std::string& path);

// The same for a file's contents, with messages that name no path.
absl::StatusOr<NpyArray> ParseNpy(absl::string_view contents);

// A .npy file whose elements are read as they are needed. Moves, but does not
// copy. Used by one thread at a time.
class NpyFile {
 public:
  // Opens `path` and reads its header. Errors as for ReadNpy.
  static absl::StatusOr<NpyFile> Open(const std::string& path);

  NpyFile(NpyFile&& other) noexcept;
  NpyFile& operator=(NpyFile&&) = delete;
  ~NpyFile();

  const NpyHeader& header() const { return header_; }

  // Reads `count` bytes from `offset` on, counted from the first element, as
  // little-endian elements; both are multiples of an element's size. DATA_LOSS
  // if they cannot be read.
  absl::Status ReadAt(uint64_t offset, size_t count, char* bytes) const;

 private:
  NpyFile(std::string path, NpyHeader header, uint64_t data_offset,
          int descriptor);

  std::string path_;
  NpyHeader header_;
  uint64_t data_offset_;
  int descriptor_;
};

// What comes before the elements in a file of version 1.0: its size is a
// multiple of 64.
std::string NpyPreamble(NpyType type, const std::vector<int64_t>& shape);

// Writes `array` to `path`, whole or not at all. array.bytes must fit its type
// and shape: INVALID_ARGUMENT otherwise. Errors as for OutputFile.
absl::Status WriteNpy(const std::string& path, const NpyArray& array);

}  // namespace halfstep

#endif  // HALFSTEP_CLIENT_NPY_H_

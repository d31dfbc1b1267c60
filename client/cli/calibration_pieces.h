// A tensor in a file as a sequence of small tensors to observe: together they
// hold the same reals at the same indices of an axis.
#ifndef HALFSTEP_CLIENT_CLI_CALIBRATION_PIECES_H_
#define HALFSTEP_CLIENT_CLI_CALIBRATION_PIECES_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/npy.h"
#include "halfstep/v1/quantization.pb.h"

namespace halfstep::cli {

// Refers to the file. Used by one thread at a time.
class CalibrationPieces {
 public:
  // INVALID_ARGUMENT if the file has no such axis, or holds no reals.
  static absl::StatusOr<CalibrationPieces> Of(const std::string& path,
                                              const NpyFile& file,
                                              std::optional<int32_t> axis,
                                              uint64_t piece_bytes);

  // Reads the next piece, at most `piece_bytes` if one real per index has no
  // more, into `tensor`. False at the end.
  absl::StatusOr<bool> Next(v1::Tensor& tensor);

 private:
  explicit CalibrationPieces(const NpyFile& file) : file_(&file) {}

  const NpyFile* file_;
  v1::DataType dtype_ = v1::DATA_TYPE_UNSPECIFIED;
  std::optional<int32_t> axis_;
  // The tensor as [outer, length, inner], in bytes of `inner`.
  uint64_t outer_ = 1;
  uint64_t length_ = 1;
  uint64_t inner_bytes_ = 0;
  uint64_t element_bytes_ = 1;
  // What a piece takes of the outer dimension, or of the inner one.
  uint64_t outer_step_ = 1;
  uint64_t inner_step_bytes_ = 0;
  uint64_t at_outer_ = 0;
  uint64_t at_inner_bytes_ = 0;
  bool is_done_ = false;
};

}  // namespace halfstep::cli

#endif  // HALFSTEP_CLIENT_CLI_CALIBRATION_PIECES_H_

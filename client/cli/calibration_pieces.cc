#include "client/cli/calibration_pieces.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/tensor_stream_file.h"

namespace halfstep::cli {

absl::StatusOr<CalibrationPieces> CalibrationPieces::Of(
    const std::string& path, const NpyFile& file, std::optional<int32_t> axis,
    uint64_t piece_bytes) {
  const NpyHeader& header = file.header();
  const absl::StatusOr<v1::DataType> dtype = StreamedDtype(path, header);
  if (!dtype.ok()) return dtype.status();
  const auto rank = static_cast<int32_t>(header.shape.size());
  if (axis.has_value() && (*axis < -rank || *axis >= rank)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": ", rank, " dimensions; must have axis ", *axis));
  }
  CalibrationPieces pieces(file);
  pieces.dtype_ = *dtype;
  pieces.element_bytes_ = ByteSize(header.type);
  pieces.inner_bytes_ = pieces.element_bytes_;
  if (axis.has_value()) pieces.axis_ = *axis < 0 ? *axis + rank : *axis;
  for (int32_t i = 0; i < rank; ++i) {
    const auto dimension =
        static_cast<uint64_t>(header.shape[static_cast<size_t>(i)]);
    if (!pieces.axis_.has_value() || i < *pieces.axis_) {
      pieces.outer_ *= dimension;
    } else if (i == *pieces.axis_) {
      pieces.length_ = dimension;
    } else {
      pieces.inner_bytes_ *= dimension;
    }
  }
  const uint64_t row_bytes =
      std::max<uint64_t>(pieces.length_ * pieces.inner_bytes_, 1);
  pieces.outer_step_ = std::max<uint64_t>(piece_bytes / row_bytes, 1);
  // Rows longer than a piece are cut across: a part of each index's elements.
  pieces.inner_step_bytes_ = std::clamp<uint64_t>(
      piece_bytes / std::max<uint64_t>(pieces.length_, 1) /
          pieces.element_bytes_ * pieces.element_bytes_,
      pieces.element_bytes_,
      std::max(pieces.inner_bytes_, pieces.element_bytes_));
  if (row_bytes <= piece_bytes) pieces.inner_step_bytes_ = pieces.inner_bytes_;
  return pieces;
}

absl::StatusOr<bool> CalibrationPieces::Next(v1::Tensor& tensor) {
  if (is_done_) return false;
  const uint64_t outer = std::min(outer_step_, outer_ - at_outer_);
  const uint64_t part =
      std::min(inner_step_bytes_, inner_bytes_ - at_inner_bytes_);
  tensor.set_dtype(dtype_);
  if (axis_.has_value()) {
    // The axis keeps its place, so that the state's axis is the file's.
    if (*axis_ > 0) tensor.add_shape(static_cast<int64_t>(outer));
    for (int32_t i = 1; i < *axis_; ++i) tensor.add_shape(1);
    tensor.add_shape(static_cast<int64_t>(length_));
  } else {
    tensor.add_shape(static_cast<int64_t>(outer));
  }
  tensor.add_shape(static_cast<int64_t>(part / element_bytes_));
  std::string& data = *tensor.mutable_data();
  data.resize(outer * length_ * part);
  // One read where all of the inner dimension is taken.
  const uint64_t runs = part == inner_bytes_ ? 1 : outer * length_;
  const uint64_t run_bytes = runs == 0 ? 0 : data.size() / runs;
  for (uint64_t i = 0; i < runs && run_bytes != 0; ++i) {
    const absl::Status read = file_->ReadAt(
        (at_outer_ * length_ + i) * inner_bytes_ + at_inner_bytes_, run_bytes,
        data.data() + i * run_bytes);
    if (!read.ok()) return read;
  }
  at_inner_bytes_ += part;
  if (at_inner_bytes_ >= inner_bytes_) {
    at_inner_bytes_ = 0;
    at_outer_ += outer;
    is_done_ = at_outer_ >= outer_;
  }
  return true;
}

}  // namespace halfstep::cli

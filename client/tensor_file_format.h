// What files of whole tensors and files that are written in pieces have in
// common.
#ifndef HALFSTEP_CLIENT_TENSOR_FILE_FORMAT_H_
#define HALFSTEP_CLIENT_TENSOR_FILE_FORMAT_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/npy_header.h"
#include "halfstep/v1/quantization.pb.h"

namespace halfstep {

// The type of the elements of a .npy file of codes.
NpyType CodesType(const v1::QuantizationSpec& spec);

// `tensor` as the text of its .json file: without its codes.
std::string DescriptionText(v1::QuantizedTensor tensor);

// The bytes of BFLOAT16 reals as float32.
std::string WidenedBFloat16(absl::string_view reals);

// The contents of a text file of at most 1 GiB. Errors as for ReadNpy.
absl::StatusOr<std::string> ReadText(const std::string& path);

}  // namespace halfstep

#endif  // HALFSTEP_CLIENT_TENSOR_FILE_FORMAT_H_

// Tensors of the API in files.
//
//   reals      NAME.npy
//   codes      NAME.npy   the codes, in the tensor's shape where each has an
//                         integer of its own, else as one row of bytes
//              NAME.json  QuantizedTensor without codes: parameters, dtype,
//              shape
#ifndef HALFSTEP_CLIENT_TENSOR_FILE_H_
#define HALFSTEP_CLIENT_TENSOR_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "halfstep/v1/quantization.pb.h"

namespace halfstep {

// Reads a tensor of reals: float16, float32 or float64. INVALID_ARGUMENT if the
// file holds integers; otherwise errors as for ReadNpy.
absl::StatusOr<v1::Tensor> ReadTensor(const std::string& path);

// Writes the reals of `tensor`, given as data or as values, in its dtype.
// BFLOAT16, which .npy does not have, and values of 16 bits become float32:
// exactly. Errors as for WriteNpy.
absl::Status WriteTensor(const std::string& path, const v1::Tensor& tensor);

// Reads `base`.json and `base`.npy. INVALID_ARGUMENT if one is malformed or if
// the two do not fit each other.
absl::StatusOr<v1::QuantizedTensor> ReadQuantized(const std::string& base);

// Writes both files, or none. A tensor whose codes are given as values is
// written unpacked, and its file says so. Errors as for WriteNpy.
absl::Status WriteQuantized(const std::string& base,
                            const v1::QuantizedTensor& tensor);

// `path` without a final ".npy" or ".json".
std::string BaseOf(const std::string& path);

// Parameters for static quantization from a file: a NAME.json as above, or
// QuantizationParameters alone.
absl::StatusOr<v1::QuantizationParameters> ReadParameters(
    const std::string& path);

}  // namespace halfstep

#endif  // HALFSTEP_CLIENT_TENSOR_FILE_H_

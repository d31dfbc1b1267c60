// Files of tensors that are read and written a piece at a time, in the formats
// of client/tensor_file.h.
#ifndef HALFSTEP_CLIENT_TENSOR_STREAM_FILE_H_
#define HALFSTEP_CLIENT_TENSOR_STREAM_FILE_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/npy.h"
#include "client/output_file.h"
#include "halfstep/v1/quantization.pb.h"

namespace halfstep {

// The dtype of the reals in a file. INVALID_ARGUMENT if it holds integers, or
// if its elements do not lie one after the other as they are sent (Fortran
// order), which only ReadTensor can mend.
absl::StatusOr<v1::DataType> StreamedDtype(const std::string& path,
                                           const NpyHeader& header);

// Codes on their way to `base`.npy, and what gives them their meaning to
// `base`.json. Nothing appears before Finish.
class QuantizedOutput {
 public:
  // `description`: resolved spec, dtype and shape. Errors as for OutputFile.
  static absl::StatusOr<QuantizedOutput> Create(
      const std::string& base, const v1::QuantizedTensor& description);

  absl::Status Write(absl::string_view codes) { return npy_.Write(codes); }

  // `description` as before, with all parameters.
  absl::Status Finish(const v1::QuantizedTensor& description);

 private:
  QuantizedOutput(OutputFile npy, OutputFile json)
      : npy_(std::move(npy)), json_(std::move(json)) {}

  OutputFile npy_;
  OutputFile json_;
};

// Reals on their way to a .npy file. BFLOAT16 becomes float32.
class RealsOutput {
 public:
  static absl::StatusOr<RealsOutput> Create(const std::string& path,
                                            const v1::QuantizedTensor& of);

  // Whole elements, as DequantizeStream sends them.
  absl::Status Write(absl::string_view reals);
  absl::Status Finish();

 private:
  RealsOutput(OutputFile npy, bool widens)
      : npy_(std::move(npy)), widens_(widens) {}

  OutputFile npy_;
  bool widens_;
};

// `base`.json alone. Errors as for ReadQuantized.
absl::StatusOr<v1::QuantizedTensor> ReadDescription(const std::string& base);

// Any message as a .json file, and back. Errors as for OutputFile; and
// INVALID_ARGUMENT if `path` holds something else.
absl::Status WriteJson(const std::string& path,
                       const google::protobuf::Message& message);
absl::Status ReadJson(const std::string& path,
                      google::protobuf::Message& message);

}  // namespace halfstep

#endif  // HALFSTEP_CLIENT_TENSOR_STREAM_FILE_H_

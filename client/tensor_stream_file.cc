#include "client/tensor_stream_file.h"

#include <cstdint>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/message_json.h"
#include "client/tensor_file_format.h"

namespace halfstep {
namespace {

absl::Status Fault(const std::string& path, absl::string_view fault) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", fault));
}

// Bytes of `tensor`'s codes, and the shape that their file has.
std::vector<int64_t> CodesShape(const v1::QuantizedTensor& tensor) {
  const v1::QuantizationSpec& spec = tensor.parameters().spec();
  if (spec.packing() != v1::PACKING_DENSE) {
    return {tensor.shape().begin(), tensor.shape().end()};
  }
  uint64_t count = 1;
  for (const int64_t dimension : tensor.shape()) {
    count *= static_cast<uint64_t>(dimension);
  }
  const uint64_t bytes =
      count / 8 * spec.bits() + (count % 8 * spec.bits() + 7) / 8;
  return {static_cast<int64_t>(bytes)};
}

}  // namespace

absl::StatusOr<v1::DataType> StreamedDtype(const std::string& path,
                                           const NpyHeader& header) {
  if (header.fortran_order && header.shape.size() > 1) {
    return Fault(path,
                 "in Fortran order; must be in C order to be sent in pieces");
  }
  switch (header.type) {
    case NpyType::kFloat16:
      return v1::DATA_TYPE_FLOAT16;
    case NpyType::kFloat32:
      return v1::DATA_TYPE_FLOAT32;
    case NpyType::kFloat64:
      return v1::DATA_TYPE_FLOAT64;
    default:
      return Fault(path, absl::StrCat("'", Descr(header.type),
                                      "', integers; must be float16, float32 "
                                      "or float64"));
  }
}

absl::StatusOr<QuantizedOutput> QuantizedOutput::Create(
    const std::string& base, const v1::QuantizedTensor& description) {
  absl::StatusOr<OutputFile> npy =
      OutputFile::Create(absl::StrCat(base, ".npy"));
  if (!npy.ok()) return npy.status();
  absl::StatusOr<OutputFile> json =
      OutputFile::Create(absl::StrCat(base, ".json"));
  if (!json.ok()) return json.status();
  const absl::Status begun = npy->Write(NpyPreamble(
      CodesType(description.parameters().spec()), CodesShape(description)));
  if (!begun.ok()) return begun;
  return QuantizedOutput(*std::move(npy), *std::move(json));
}

absl::Status QuantizedOutput::Finish(const v1::QuantizedTensor& description) {
  const absl::Status written = json_.Write(DescriptionText(description));
  if (!written.ok()) return written;
  OutputFile* const files[] = {&npy_, &json_};
  return OutputFile::Commit(files);
}

absl::StatusOr<RealsOutput> RealsOutput::Create(const std::string& path,
                                                const v1::QuantizedTensor& of) {
  absl::StatusOr<OutputFile> npy = OutputFile::Create(path);
  if (!npy.ok()) return npy.status();
  NpyType type = NpyType::kFloat32;
  if (of.dtype() == v1::DATA_TYPE_FLOAT64) type = NpyType::kFloat64;
  if (of.dtype() == v1::DATA_TYPE_FLOAT16) type = NpyType::kFloat16;
  const absl::Status begun =
      npy->Write(NpyPreamble(type, {of.shape().begin(), of.shape().end()}));
  if (!begun.ok()) return begun;
  return RealsOutput(*std::move(npy), of.dtype() == v1::DATA_TYPE_BFLOAT16);
}

absl::Status RealsOutput::Write(absl::string_view reals) {
  return widens_ ? npy_.Write(WidenedBFloat16(reals)) : npy_.Write(reals);
}

absl::Status RealsOutput::Finish() {
  OutputFile* const files[] = {&npy_};
  return OutputFile::Commit(files);
}

absl::StatusOr<v1::QuantizedTensor> ReadDescription(const std::string& base) {
  const std::string path = absl::StrCat(base, ".json");
  v1::QuantizedTensor tensor;
  const absl::Status read = ReadJson(path, tensor);
  if (!read.ok()) return read;
  if (!tensor.codes().empty() || !tensor.values().empty()) {
    return Fault(path, "holds codes; must leave them to the .npy file");
  }
  return tensor;
}

absl::Status WriteJson(const std::string& path,
                       const google::protobuf::Message& message) {
  absl::StatusOr<OutputFile> file = OutputFile::Create(path);
  if (!file.ok()) return file.status();
  const absl::Status written =
      file->Write(absl::StrCat(ToJson(message).dump(2), "\n"));
  if (!written.ok()) return written;
  OutputFile* const files[] = {&*file};
  return OutputFile::Commit(files);
}

absl::Status ReadJson(const std::string& path,
                      google::protobuf::Message& message) {
  const absl::StatusOr<std::string> text = ReadText(path);
  if (!text.ok()) return text.status();
  const absl::Status status = FromJson(*text, message);
  return status.ok() ? status : Fault(path, status.message());
}

}  // namespace halfstep

#include "client/tensor_file.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "client/message_json.h"
#include "client/npy.h"
#include "client/output_file.h"
#include "client/tensor_file_format.h"

namespace halfstep {
namespace {

// A file of parameters with 4 Mi pairs has some 150 MiB.
constexpr uint64_t kJsonBytesMax = uint64_t{1} << 30;

absl::Status Fault(const std::string& path, absl::string_view fault) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", fault));
}

// How many bytes one code has without packing.
size_t CodeBytes(const v1::QuantizationSpec& spec) {
  if (spec.bits() > 16) return 4;
  return spec.bits() > 8 ? 2 : 1;
}

// The spec of the codes as they are written: values are written unpacked.
v1::QuantizationSpec WrittenSpec(const v1::QuantizedTensor& tensor) {
  v1::QuantizationSpec spec = tensor.parameters().spec();
  if (!tensor.values().empty()) spec.set_packing(v1::PACKING_NONE);
  return spec;
}

}  // namespace

NpyType CodesType(const v1::QuantizationSpec& spec) {
  if (spec.packing() == v1::PACKING_DENSE) return NpyType::kUint8;
  if (spec.code_type() == v1::CODE_TYPE_FLOAT16) return NpyType::kFloat16;
  if (spec.code_type() == v1::CODE_TYPE_BFLOAT16) return NpyType::kUint16;
  const bool has_sign = spec.code_type() == v1::CODE_TYPE_INT ||
                        (spec.code_type() == v1::CODE_TYPE_UNSPECIFIED &&
                         spec.scheme() == v1::SCHEME_SYMMETRIC);
  switch (CodeBytes(spec)) {
    case 1:
      return has_sign ? NpyType::kInt8 : NpyType::kUint8;
    case 2:
      return has_sign ? NpyType::kInt16 : NpyType::kUint16;
    default:
      return has_sign ? NpyType::kInt32 : NpyType::kUint32;
  }
}

std::string DescriptionText(v1::QuantizedTensor tensor) {
  *tensor.mutable_parameters()->mutable_spec() = WrittenSpec(tensor);
  tensor.clear_codes();
  tensor.clear_values();
  nlohmann::ordered_json json = ToJson(tensor);
  json.erase("values");
  return absl::StrCat(json.dump(2), "\n");
}

std::string WidenedBFloat16(absl::string_view reals) {
  std::string wide;
  wide.reserve(reals.size() * 2);
  for (size_t i = 0; i + 1 < reals.size(); i += 2) {
    wide.append({'\0', '\0', reals[i], reals[i + 1]});
  }
  return wide;
}

absl::StatusOr<std::string> ReadText(const std::string& path) {
  std::error_code error;
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  const uint64_t size = std::filesystem::file_size(path, error);
  if (!file.is_open() || error) {
    const int number = errno != 0 ? errno : error.value();
    return absl::ErrnoToStatus(number, absl::StrCat(path, ": cannot be read"));
  }
  if (size > kJsonBytesMax) {
    return Fault(path,
                 absl::StrCat(size, " bytes; must be at most ", kJsonBytesMax));
  }
  return std::string(std::istreambuf_iterator<char>(file), {});
}

namespace {

template <typename Element>
void AppendBytes(Element element, std::string& bytes) {
  char memory[sizeof(element)];
  std::memcpy(memory, &element, sizeof(element));
  bytes.append(memory, sizeof(element));
}

std::vector<int64_t> ShapeOf(
    const google::protobuf::RepeatedField<int64_t>& shape) {
  return {shape.begin(), shape.end()};
}

// The codes as they are laid out without packing: their lowest bytes.
std::string Unpacked(const google::protobuf::RepeatedField<int64_t>& values,
                     size_t code_bytes) {
  std::string bytes;
  bytes.reserve(static_cast<size_t>(values.size()) * code_bytes);
  for (const int64_t value : values) {
    const auto code = static_cast<uint64_t>(value);
    for (size_t i = 0; i < code_bytes; ++i) {
      bytes.push_back(static_cast<char>(code >> (8 * i) & 0xff));
    }
  }
  return bytes;
}

NpyArray CodesArray(const v1::QuantizedTensor& tensor) {
  const v1::QuantizationSpec spec = WrittenSpec(tensor);
  NpyArray array = {.type = CodesType(spec),
                    .shape = ShapeOf(tensor.shape()),
                    .bytes = tensor.codes()};
  if (!tensor.values().empty()) {
    array.bytes = Unpacked(tensor.values(), ByteSize(array.type));
  } else if (spec.packing() == v1::PACKING_DENSE) {
    array.shape = {static_cast<int64_t>(array.bytes.size())};
  }
  return array;
}

NpyArray RealsArray(const v1::Tensor& tensor) {
  NpyArray array{.shape = ShapeOf(tensor.shape()), .bytes = {}};
  if (tensor.dtype() == v1::DATA_TYPE_FLOAT64 ||
      tensor.dtype() == v1::DATA_TYPE_UNSPECIFIED) {
    array.type = NpyType::kFloat64;
  } else if (tensor.dtype() == v1::DATA_TYPE_FLOAT16 &&
             tensor.values().empty()) {
    array.type = NpyType::kFloat16;
  }
  if (tensor.values().empty()) {
    array.bytes = tensor.dtype() == v1::DATA_TYPE_BFLOAT16
                      ? WidenedBFloat16(tensor.data())
                      : tensor.data();
    return array;
  }
  for (const double value : tensor.values()) {
    if (array.type == NpyType::kFloat64) {
      AppendBytes(value, array.bytes);
    } else {
      AppendBytes(static_cast<float>(value), array.bytes);
    }
  }
  return array;
}

absl::Status CheckFit(const std::string& base,
                      const v1::QuantizedTensor& tensor,
                      const NpyArray& codes) {
  const v1::QuantizationSpec& spec = tensor.parameters().spec();
  const NpyType type = CodesType(spec);
  if (codes.type != type) {
    return Fault(base,
                 absl::StrCat(".npy holds '", Descr(codes.type), "'; must be '",
                              Descr(type), "' for the spec in .json"));
  }
  const bool dense = spec.packing() == v1::PACKING_DENSE;
  const std::vector<int64_t> shape = ShapeOf(tensor.shape());
  if (!dense && codes.shape != shape) {
    return Fault(
        base, absl::StrCat(".npy has shape ", FormatShape(codes.shape),
                           "; must be ", FormatShape(shape), " as in .json"));
  }
  return absl::OkStatus();
}

}  // namespace

std::string BaseOf(const std::string& path) {
  absl::string_view base = path;
  if (!absl::ConsumeSuffix(&base, ".npy")) absl::ConsumeSuffix(&base, ".json");
  return std::string(base);
}

absl::StatusOr<v1::Tensor> ReadTensor(const std::string& path) {
  absl::StatusOr<NpyArray> array = ReadNpy(path);
  if (!array.ok()) return array.status();
  v1::Tensor tensor;
  switch (array->type) {
    case NpyType::kFloat16:
      tensor.set_dtype(v1::DATA_TYPE_FLOAT16);
      break;
    case NpyType::kFloat32:
      tensor.set_dtype(v1::DATA_TYPE_FLOAT32);
      break;
    case NpyType::kFloat64:
      tensor.set_dtype(v1::DATA_TYPE_FLOAT64);
      break;
    default:
      return Fault(path, absl::StrCat("'", Descr(array->type),
                                      "', integers; must be float16, float32 "
                                      "or float64"));
  }
  tensor.mutable_shape()->Add(array->shape.begin(), array->shape.end());
  tensor.set_data(std::move(array->bytes));
  return tensor;
}

absl::Status WriteTensor(const std::string& path, const v1::Tensor& tensor) {
  return WriteNpy(path, RealsArray(tensor));
}

absl::StatusOr<v1::QuantizedTensor> ReadQuantized(const std::string& base) {
  const std::string json_path = absl::StrCat(base, ".json");
  const absl::StatusOr<std::string> text = ReadText(json_path);
  if (!text.ok()) return text.status();
  v1::QuantizedTensor tensor;
  const absl::Status status = FromJson(*text, tensor);
  if (!status.ok()) return Fault(json_path, status.message());
  if (!tensor.codes().empty() || !tensor.values().empty()) {
    return Fault(json_path, "holds codes; must leave them to the .npy file");
  }
  absl::StatusOr<NpyArray> codes = ReadNpy(absl::StrCat(base, ".npy"));
  if (!codes.ok()) return codes.status();
  const absl::Status fit = CheckFit(base, tensor, *codes);
  if (!fit.ok()) return fit;
  tensor.set_codes(std::move(codes->bytes));
  return tensor;
}

absl::Status WriteQuantized(const std::string& base,
                            const v1::QuantizedTensor& tensor) {
  const NpyArray codes = CodesArray(tensor);
  absl::StatusOr<OutputFile> npy =
      OutputFile::Create(absl::StrCat(base, ".npy"));
  if (!npy.ok()) return npy.status();
  absl::StatusOr<OutputFile> json =
      OutputFile::Create(absl::StrCat(base, ".json"));
  if (!json.ok()) return json.status();
  absl::Status status = npy->Write(NpyPreamble(codes.type, codes.shape));
  if (status.ok()) status = npy->Write(codes.bytes);
  if (status.ok()) status = json->Write(DescriptionText(tensor));
  if (!status.ok()) return status;
  OutputFile* const files[] = {&*npy, &*json};
  return OutputFile::Commit(files);
}

absl::StatusOr<v1::QuantizationParameters> ReadParameters(
    const std::string& path) {
  const absl::StatusOr<std::string> text = ReadText(path);
  if (!text.ok()) return text.status();
  v1::QuantizedTensor tensor;
  if (FromJson(*text, tensor).ok() && tensor.has_parameters()) {
    return tensor.parameters();
  }
  v1::QuantizationParameters parameters;
  const absl::Status status = FromJson(*text, parameters);
  if (!status.ok()) return Fault(path, status.message());
  return parameters;
}

}  // namespace halfstep

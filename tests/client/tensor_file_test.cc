// Tensors and codes in files.
#include "client/tensor_file.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "client/npy.h"
#include "tests/temporary_folder.h"

namespace halfstep {
namespace {

using google::protobuf::util::MessageDifferencer;
using testing::HasSubstr;
using testing::StartsWith;
using Names = std::set<std::string>;

// Six 8-bit codes of shape (2, 3) as a server replies them.
v1::QuantizedTensor Quantized() {
  v1::QuantizedTensor tensor;
  v1::QuantizationSpec& spec = *tensor.mutable_parameters()->mutable_spec();
  spec.set_scheme(v1::SCHEME_ASYMMETRIC);
  spec.set_bits(8);
  spec.set_code_type(v1::CODE_TYPE_UINT);
  spec.set_profile(v1::PROFILE_ONNX);
  spec.set_packing(v1::PACKING_NONE);
  tensor.mutable_parameters()->add_scale(0.8200388235294118);
  tensor.mutable_parameters()->add_zero_point(11);
  tensor.set_dtype(v1::DATA_TYPE_FLOAT64);
  tensor.add_shape(2);
  tensor.add_shape(3);
  tensor.set_codes("\xff\x01\x02\x03\x04\x05");
  return tensor;
}

v1::QuantizationSpec& SpecOf(v1::QuantizedTensor& tensor) {
  return *tensor.mutable_parameters()->mutable_spec();
}

TEST(TensorFile, CodesAreReadBackAsTheyWere) {
  const TemporaryFolder folder;
  const v1::QuantizedTensor tensor = Quantized();
  ASSERT_EQ(WriteQuantized(folder.Path("b"), tensor), absl::OkStatus());
  EXPECT_EQ(folder.Names(), (Names{"b.npy", "b.json"}));
  const absl::StatusOr<v1::QuantizedTensor> read =
      ReadQuantized(folder.Path("b"));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(MessageDifferencer::Equals(*read, tensor));
}

TEST(TensorFile, CodesHaveTheTensorsShapeAndAnIntegerType) {
  struct Case {
    uint32_t bits;
    v1::CodeType code_type;
    NpyType type;
  };
  for (const Case& c : {Case{1, v1::CODE_TYPE_UINT, NpyType::kUint8},
                        {8, v1::CODE_TYPE_UINT, NpyType::kUint8},
                        {8, v1::CODE_TYPE_INT, NpyType::kInt8},
                        {9, v1::CODE_TYPE_UINT, NpyType::kUint16},
                        {16, v1::CODE_TYPE_INT, NpyType::kInt16},
                        {17, v1::CODE_TYPE_UINT, NpyType::kUint32},
                        {32, v1::CODE_TYPE_INT, NpyType::kInt32},
                        {16, v1::CODE_TYPE_FLOAT16, NpyType::kFloat16},
                        {16, v1::CODE_TYPE_BFLOAT16, NpyType::kUint16}}) {
    SCOPED_TRACE(testing::Message() << c.bits << " " << c.code_type);
    const TemporaryFolder folder;
    v1::QuantizedTensor tensor = Quantized();
    SpecOf(tensor).set_bits(c.bits);
    SpecOf(tensor).set_code_type(c.code_type);
    tensor.set_codes(std::string(6 * ByteSize(c.type), '\1'));
    ASSERT_EQ(WriteQuantized(folder.Path("b"), tensor), absl::OkStatus());
    const absl::StatusOr<NpyArray> codes = ReadNpy(folder.Path("b.npy"));
    ASSERT_TRUE(codes.ok()) << codes.status();
    EXPECT_EQ(codes->type, c.type);
    EXPECT_EQ(codes->shape, (std::vector<int64_t>{2, 3}));
    EXPECT_TRUE(ReadQuantized(folder.Path("b")).ok());
  }
}

TEST(TensorFile, DenseCodesAreOneRowOfBytes) {
  const TemporaryFolder folder;
  v1::QuantizedTensor tensor = Quantized();
  SpecOf(tensor).set_bits(3);
  SpecOf(tensor).set_packing(v1::PACKING_DENSE);
  tensor.set_codes("\xd5\x01\x02");
  ASSERT_EQ(WriteQuantized(folder.Path("b"), tensor), absl::OkStatus());
  const absl::StatusOr<NpyArray> codes = ReadNpy(folder.Path("b.npy"));
  ASSERT_TRUE(codes.ok()) << codes.status();
  EXPECT_EQ(codes->type, NpyType::kUint8);
  EXPECT_EQ(codes->shape, (std::vector<int64_t>{3}));
  const absl::StatusOr<v1::QuantizedTensor> read =
      ReadQuantized(folder.Path("b"));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(MessageDifferencer::Equals(*read, tensor));
}

TEST(TensorFile, CodesGivenAsValuesAreWrittenUnpacked) {
  const TemporaryFolder folder;
  v1::QuantizedTensor tensor = Quantized();
  SpecOf(tensor).set_bits(12);
  SpecOf(tensor).set_code_type(v1::CODE_TYPE_INT);
  SpecOf(tensor).set_packing(v1::PACKING_DENSE);
  tensor.clear_codes();
  for (const int64_t code : {-2048, 2047, -1, 0, 1, 2}) tensor.add_values(code);
  ASSERT_EQ(WriteQuantized(folder.Path("b"), tensor), absl::OkStatus());
  const absl::StatusOr<v1::QuantizedTensor> read =
      ReadQuantized(folder.Path("b"));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->parameters().spec().packing(), v1::PACKING_NONE);
  EXPECT_EQ(read->codes(),
            std::string("\x00\xf8\xff\x07\xff\xff\0\0\1\0\2\0", 12));
}

TEST(TensorFile, BothFilesAppearOrNeither) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder.Path("b.json"));
  EXPECT_FALSE(WriteQuantized(folder.Path("b"), Quantized()).ok());
  EXPECT_EQ(folder.Names(), Names{"b.json"});
}

TEST(TensorFile, RealsAreReadBackInTheirType) {
  const TemporaryFolder folder;
  for (const auto& [dtype, bytes] : {std::pair(v1::DATA_TYPE_FLOAT16, 2),
                                     std::pair(v1::DATA_TYPE_FLOAT32, 4),
                                     std::pair(v1::DATA_TYPE_FLOAT64, 8)}) {
    v1::Tensor tensor;
    tensor.set_dtype(dtype);
    tensor.add_shape(3);
    for (int i = 0; i < 3 * bytes; ++i) {
      tensor.mutable_data()->push_back(static_cast<char>(i));
    }
    ASSERT_EQ(WriteTensor(folder.Path("a.npy"), tensor), absl::OkStatus());
    const absl::StatusOr<v1::Tensor> read = ReadTensor(folder.Path("a.npy"));
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_TRUE(MessageDifferencer::Equals(*read, tensor));
  }
}

TEST(TensorFile, BFloat16IsWidenedExactly) {
  const TemporaryFolder folder;
  v1::Tensor tensor;
  tensor.set_dtype(v1::DATA_TYPE_BFLOAT16);
  tensor.add_shape(2);
  tensor.set_data("\xc0\x3f\x01\x80");
  ASSERT_EQ(WriteTensor(folder.Path("a.npy"), tensor), absl::OkStatus());
  const absl::StatusOr<v1::Tensor> read = ReadTensor(folder.Path("a.npy"));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->dtype(), v1::DATA_TYPE_FLOAT32);
  EXPECT_EQ(read->data(), std::string("\0\0\xc0\x3f\0\0\x01\x80", 8));
}

TEST(TensorFile, ValuesAreWrittenInTheTensorsType) {
  const TemporaryFolder folder;
  for (const auto& [dtype, type] :
       {std::pair(v1::DATA_TYPE_FLOAT32, NpyType::kFloat32),
        std::pair(v1::DATA_TYPE_FLOAT64, NpyType::kFloat64),
        std::pair(v1::DATA_TYPE_BFLOAT16, NpyType::kFloat32)}) {
    v1::Tensor tensor;
    tensor.set_dtype(dtype);
    tensor.add_shape(1);
    tensor.add_values(1.5);
    ASSERT_EQ(WriteTensor(folder.Path("a.npy"), tensor), absl::OkStatus());
    const absl::StatusOr<NpyArray> read = ReadNpy(folder.Path("a.npy"));
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->type, type);
  }
}

TEST(TensorFile, IntegersAreNoReals) {
  const TemporaryFolder folder;
  ASSERT_EQ(WriteQuantized(folder.Path("b"), Quantized()), absl::OkStatus());
  const absl::Status status = ReadTensor(folder.Path("b.npy")).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("'|u1', integers"));
}

TEST(TensorFile, ParametersComeFromEitherKindOfFile) {
  const TemporaryFolder folder;
  ASSERT_EQ(WriteQuantized(folder.Path("b"), Quantized()), absl::OkStatus());
  const auto whole = ReadParameters(folder.Path("b.json"));
  ASSERT_TRUE(whole.ok()) << whole.status();
  EXPECT_TRUE(MessageDifferencer::Equals(*whole, Quantized().parameters()));
  const auto alone = ReadParameters(folder.Write(
      "p.json", R"({"spec": {"bits": 4}, "scale": [0.1], "zero_point": [3]})"));
  ASSERT_TRUE(alone.ok()) << alone.status();
  EXPECT_EQ(alone->scale(0), 0.1);
  const absl::Status neither =
      ReadParameters(folder.Write("q.json", R"({"scales": [0.1]})")).status();
  EXPECT_EQ(neither.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(neither.message()),
              StartsWith(folder.Path("q.json") + ": "));
}

TEST(TensorFile, FilesThatDoNotFitEachOtherAreRefused) {
  const TemporaryFolder folder;
  const std::string base = folder.Path("b");
  ASSERT_EQ(WriteQuantized(base, Quantized()), absl::OkStatus());
  const std::string json = folder.Read("b.json");
  const auto error = [&] {
    const absl::Status status = ReadQuantized(base).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  auto changed = nlohmann::json::parse(json);
  changed["parameters"]["spec"]["code_type"] = "CODE_TYPE_INT";
  folder.Write("b.json", changed.dump());
  EXPECT_THAT(error(), HasSubstr("holds '|u1'; must be '|i1'"));
  changed = nlohmann::json::parse(json);
  changed["shape"] = {3, 2};
  folder.Write("b.json", changed.dump());
  EXPECT_THAT(error(), HasSubstr("has shape (2, 3); must be (3, 2)"));
  folder.Write("b.json", json.substr(0, json.size() / 2));
  EXPECT_THAT(error(), StartsWith(base + ".json: "));
  folder.Write("b.json", "{\"codes\": \"AAAA\"}");
  EXPECT_THAT(error(), HasSubstr("holds codes"));
}

TEST(TensorFile, AMissingFileIsNamed) {
  const TemporaryFolder folder;
  ASSERT_EQ(WriteQuantized(folder.Path("b"), Quantized()), absl::OkStatus());
  std::filesystem::remove(folder.Path("b.npy"));
  absl::Status status = ReadQuantized(folder.Path("b")).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("b.npy"));
  status = ReadQuantized(folder.Path("c")).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("c.json"));
}

TEST(TensorFile, EndingsAreLeftOff) {
  EXPECT_EQ(BaseOf("a/b.npy"), "a/b");
  EXPECT_EQ(BaseOf("a/b.json"), "a/b");
  EXPECT_EQ(BaseOf("a/b.c"), "a/b.c");
}

}  // namespace
}  // namespace halfstep

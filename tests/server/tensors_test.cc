#include "server/api/tensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "core/field_error.h"
#include "server/api/numbers.h"

namespace halfstep {
namespace {

using ::testing::ElementsAre;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

v1::Tensor Values(v1::DataType dtype, std::initializer_list<double> values) {
  v1::Tensor tensor;
  tensor.set_dtype(dtype);
  tensor.add_shape(static_cast<int64_t>(values.size()));
  for (const double value : values) tensor.add_values(value);
  return tensor;
}

TEST(ReadReals, RefersToThePayload) {
  v1::Tensor tensor;
  tensor.set_dtype(v1::DATA_TYPE_FLOAT32);
  tensor.add_shape(2);
  const std::byte data[8] = {};
  const absl::StatusOr<RealsInput> input =
      ReadReals(tensor, Pieces(data), CallLimits());
  ASSERT_TRUE(input.ok()) << input.status();
  EXPECT_FALSE(input->as_values);
  EXPECT_EQ(input->tensor.reals.Contiguous(0, 8, nullptr), data);
  EXPECT_THAT(input->tensor.shape, ElementsAre(2));
}

TEST(ReadReals, TakesNumbersAsFloat64UnlessToldOtherwise) {
  const absl::StatusOr<RealsInput> input = ReadReals(
      Values(v1::DATA_TYPE_UNSPECIFIED, {0.1, -2}), Pieces(), CallLimits());
  ASSERT_TRUE(input.ok()) << input.status();
  EXPECT_TRUE(input->as_values);
  EXPECT_EQ(input->tensor.dtype, DataType::kFloat64);
  EXPECT_THAT(NumbersFromReals(DataType::kFloat64, input->storage),
              ElementsAre(0.1, -2));
}

// What is wrong with `tensor` and `byte_count` bytes of data.
std::string Fault(const v1::Tensor& tensor, size_t byte_count,
                  const CallLimits& limits = CallLimits()) {
  const std::string bytes(byte_count, '\0');
  const Pieces data(
      {reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()});
  return std::string(ReadReals(tensor, data, limits).status().message());
}

TEST(ReadReals, SaysWhatIsWrong) {
  const v1::Tensor values = Values(v1::DATA_TYPE_FLOAT32, {1, 2, 3});
  EXPECT_EQ(Fault(values, 4),
            "data: 4 bytes beside values; must be empty where values are "
            "given");
  EXPECT_EQ(Fault(values, 0, {.max_values = 2}),
            "values: 3 numbers; must be at most 2");
  v1::Tensor wrong_count = values;
  wrong_count.add_shape(2);
  EXPECT_EQ(Fault(wrong_count, 0),
            "values: 3 numbers; must be 6 for this shape");
  v1::Tensor untyped;
  EXPECT_THAT(Fault(untyped, 4), testing::StartsWith("dtype: unspecified; "));
  EXPECT_EQ(Fault(Values(v1::DATA_TYPE_FLOAT16, {1, 70'000}), 0),
            "values[1]: 70000; must be within 65504, the largest FLOAT16");
  EXPECT_EQ(Fault(Values(v1::DATA_TYPE_FLOAT32, {-1e39}), 0),
            "values[0]: -1e+39; must be within 3.40282e+38, the largest "
            "FLOAT32");
}

TEST(Numbers, AreRoundedOnceToNearestEven) {
  // 2049 lies between the float16 numbers 2048 and 2050, 257 between the
  // bfloat16 numbers 256 and 258: both go to the even pattern. 0.1 as float32.
  EXPECT_THAT(
      NumbersFromReals(DataType::kFloat16,
                       *RealsFromNumbers(DataType::kFloat16, {2049, 2051})),
      ElementsAre(2048, 2052));
  EXPECT_THAT(NumbersFromReals(DataType::kBFloat16,
                               *RealsFromNumbers(DataType::kBFloat16, {257})),
              ElementsAre(256));
  EXPECT_THAT(NumbersFromReals(DataType::kFloat32,
                               *RealsFromNumbers(DataType::kFloat32, {0.1})),
              ElementsAre(double{0.1f}));
}

TEST(Numbers, KeepWhatIsNotFinite) {
  for (const DataType dtype : {DataType::kFloat32, DataType::kFloat64,
                               DataType::kFloat16, DataType::kBFloat16}) {
    SCOPED_TRACE(std::string(Name(dtype)));
    const std::vector<double> back = NumbersFromReals(
        dtype, *RealsFromNumbers(dtype, {kInfinity, -kInfinity, std::nan(""),
                                         -0.0, LargestFinite(dtype)}));
    EXPECT_EQ(back[0], kInfinity);
    EXPECT_EQ(back[1], -kInfinity);
    EXPECT_TRUE(std::isnan(back[2]));
    EXPECT_TRUE(std::signbit(back[3]));
    EXPECT_EQ(back[4], LargestFinite(dtype));
  }
}

Spec Resolved(uint32_t bits, CodeType code_type, Packing packing) {
  Spec spec;
  spec.bits = bits;
  spec.code_type = code_type;
  spec.packing = packing;
  return *Resolve(spec, DataType::kFloat32, 1);
}

TEST(Numbers, CodesOfEveryWidthThereAndBack) {
  for (const CodeType code_type : {CodeType::kUint, CodeType::kInt}) {
    for (const Packing packing : {Packing::kNone, Packing::kDense}) {
      for (uint32_t bits = 1; bits <= 32; ++bits) {
        SCOPED_TRACE(bits);
        const Spec spec = Resolved(bits, code_type, packing);
        const CodeRange range = CodeRangeOf(spec);
        const std::vector<int64_t> codes = {
            range.quant_min, range.quant_max, 0, range.quant_max / 2,
            range.quant_min / 2 + range.quant_max};
        const auto bytes = CodesFromNumbers(spec, codes);
        ASSERT_TRUE(bytes.ok()) << bytes.status();
        EXPECT_EQ(bytes->size(), CodeBytes(spec, 5));
        EXPECT_EQ(NumbersFromCodes(spec, 5, *bytes), codes);
      }
    }
  }
}

TEST(Numbers, DenseCodesStartInTheLowestBits) {
  // 1, 2, 3 of 4 bits: 0x21, then 0x03 with the upper half unused.
  EXPECT_THAT(*CodesFromNumbers(Resolved(4, CodeType::kUint, Packing::kDense),
                                {1, 2, 3}),
              ElementsAre(std::byte{0x21}, std::byte{0x03}));
  // -1 and 258 as little-endian 16-bit integers.
  EXPECT_THAT(*CodesFromNumbers(Resolved(12, CodeType::kInt, Packing::kNone),
                                {-1, 258}),
              ElementsAre(std::byte{0xFF}, std::byte{0xFF}, std::byte{0x02},
                          std::byte{0x01}));
}

TEST(Numbers, RefusesWhatIsNoCode) {
  const Spec spec = Resolved(3, CodeType::kInt, Packing::kNone);
  for (const int64_t value : {int64_t{-5}, int64_t{4}, int64_t{1} << 40}) {
    const absl::Status status = CodesFromNumbers(spec, {0, value}).status();
    EXPECT_EQ(FieldPath(status), "values[1]") << value;
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  }
  const Spec float16 = Resolved(16, CodeType::kFloat16, Packing::kNone);
  EXPECT_TRUE(CodesFromNumbers(float16, {0x7BFF, 0xFBFF}).ok());
  EXPECT_FALSE(CodesFromNumbers(float16, {0x7C00}).ok());
  EXPECT_FALSE(CodesFromNumbers(float16, {0xFC01}).ok());
  EXPECT_FALSE(CodesFromNumbers(float16, {-1}).ok());
}

v1::QuantizedTensor SomeCodes() {
  v1::QuantizedTensor tensor;
  tensor.set_dtype(v1::DATA_TYPE_FLOAT32);
  tensor.add_shape(3);
  tensor.mutable_parameters()->add_scale(0.5);
  tensor.mutable_parameters()->add_zero_point(1);
  return tensor;
}

TEST(ReadCodes, RefersToThePayloadOrPacksNumbers) {
  v1::QuantizedTensor tensor = SomeCodes();
  const std::byte data[3] = {};
  absl::StatusOr<CodesInput> input =
      ReadCodes(tensor, Pieces(data), CallLimits());
  ASSERT_TRUE(input.ok()) << input.status();
  EXPECT_EQ(input->codes.Contiguous(0, 3, nullptr), data);
  EXPECT_EQ(input->plan.element_count(), 3);

  for (const int64_t code : {3, 0, 255}) tensor.add_values(code);
  input = ReadCodes(tensor, Pieces(), CallLimits());
  ASSERT_TRUE(input.ok()) << input.status();
  EXPECT_TRUE(input->as_values);
  EXPECT_THAT(input->storage,
              ElementsAre(std::byte{3}, std::byte{0}, std::byte{255}));
}

TEST(ReadCodes, SaysWhatIsWrong) {
  const auto path = [](const v1::QuantizedTensor& tensor, size_t byte_count) {
    const std::string bytes(byte_count, '\0');
    const Pieces codes(
        {reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()});
    return FieldPath(ReadCodes(tensor, codes, CallLimits()).status()).value();
  };
  EXPECT_EQ(path(SomeCodes(), 2), "codes");
  v1::QuantizedTensor tensor = SomeCodes();
  tensor.mutable_parameters()->add_scale(1);
  EXPECT_EQ(path(tensor, 3), "parameters.scale");
  tensor = SomeCodes();
  tensor.set_shape(0, -3);
  EXPECT_EQ(path(tensor, 3), "shape");
  tensor = SomeCodes();
  tensor.add_values(1);
  EXPECT_EQ(path(tensor, 3), "codes");
  EXPECT_EQ(path(tensor, 0), "values");
  tensor = SomeCodes();
  tensor.set_dtype(v1::DATA_TYPE_UNSPECIFIED);
  EXPECT_EQ(path(tensor, 3), "dtype");
  tensor = SomeCodes();
  tensor.mutable_parameters()->mutable_spec()->set_bits(33);
  EXPECT_EQ(path(tensor, 3), "parameters.spec.bits");
}

}  // namespace
}  // namespace halfstep

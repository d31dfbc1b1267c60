// Elements of tensors as numbers.
#include "client/elements.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace halfstep {
namespace {

using testing::ElementsAre;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

v1::Tensor Reals(v1::DataType dtype, const std::string& data) {
  v1::Tensor tensor;
  tensor.set_dtype(dtype);
  tensor.set_data(data);
  return tensor;
}

v1::QuantizedTensor Codes(uint32_t bits, v1::CodeType type, v1::Packing packing,
                          int64_t count, const std::string& codes) {
  v1::QuantizedTensor tensor;
  v1::QuantizationSpec& spec = *tensor.mutable_parameters()->mutable_spec();
  spec.set_bits(bits);
  spec.set_code_type(type);
  spec.set_packing(packing);
  tensor.add_shape(count);
  tensor.set_codes(codes);
  return tensor;
}

TEST(Elements, ValuesAreTheElements) {
  v1::Tensor tensor;
  tensor.add_values(-0.5);
  EXPECT_THAT(RealsOf(tensor), ElementsAre(-0.5));
  v1::QuantizedTensor codes;
  codes.add_values(-7);
  EXPECT_THAT(CodesOf(codes), ElementsAre(-7));
}

TEST(Elements, WideReals) {
  EXPECT_THAT(RealsOf(Reals(v1::DATA_TYPE_FLOAT32,
                            std::string("\0\0\xc0\x3f\0\0\x80\xff", 8))),
              ElementsAre(1.5, -kInfinity));
  EXPECT_THAT(
      RealsOf(Reals(v1::DATA_TYPE_FLOAT64,
                    std::string("\x9a\x99\x99\x99\x99\x99\xb9\x3f", 8))),
      ElementsAre(0.1));
}

// IEEE 754-2008, binary16: the largest, the smallest normal and subnormal.
TEST(Elements, Float16) {
  const std::vector<double> reals = RealsOf(Reals(
      v1::DATA_TYPE_FLOAT16,
      std::string("\xff\x7b\x00\x04\x01\x00\x00\xbc\x00\x80\x00\x7c\x01\x7e",
                  14)));
  ASSERT_EQ(reals.size(), 7u);
  EXPECT_EQ(reals[0], 65504);
  EXPECT_EQ(reals[1], 0x1p-14);
  EXPECT_EQ(reals[2], 0x1p-24);
  EXPECT_EQ(reals[3], -1);
  EXPECT_TRUE(reals[4] == 0 && std::signbit(reals[4]));
  EXPECT_EQ(reals[5], kInfinity);
  EXPECT_TRUE(std::isnan(reals[6]));
}

TEST(Elements, BFloat16IsTheUpperHalfOfFloat32) {
  EXPECT_THAT(RealsOf(Reals(v1::DATA_TYPE_BFLOAT16,
                            std::string("\xc0\x3f\x01\x00", 4))),
              ElementsAre(1.5, 0x1p-133));
}

TEST(Elements, CodesOfWholeBytes) {
  EXPECT_THAT(
      CodesOf(Codes(8, v1::CODE_TYPE_UINT, v1::PACKING_NONE, 2, "\xff\x01")),
      ElementsAre(255, 1));
  EXPECT_THAT(
      CodesOf(Codes(5, v1::CODE_TYPE_INT, v1::PACKING_NONE, 2, "\xf0\x0f")),
      ElementsAre(-16, 15));
  EXPECT_THAT(CodesOf(Codes(12, v1::CODE_TYPE_INT, v1::PACKING_NONE, 1,
                            std::string("\x00\xf8", 2))),
              ElementsAre(-2048));
  EXPECT_THAT(CodesOf(Codes(32, v1::CODE_TYPE_UINT, v1::PACKING_NONE, 1,
                            "\xff\xff\xff\xff")),
              ElementsAre(4294967295));
}

// 3-bit codes 5, 2, 7 are 0b01'111'010'101 from the lowest bit on.
TEST(Elements, DenseCodes) {
  const std::string packed("\xd5\x01", 2);
  EXPECT_THAT(
      CodesOf(Codes(3, v1::CODE_TYPE_UINT, v1::PACKING_DENSE, 3, packed)),
      ElementsAre(5, 2, 7));
  EXPECT_THAT(
      CodesOf(Codes(3, v1::CODE_TYPE_INT, v1::PACKING_DENSE, 3, packed)),
      ElementsAre(-3, 2, -1));
  EXPECT_THAT(
      CodesOf(Codes(1, v1::CODE_TYPE_UINT, v1::PACKING_DENSE, 9, packed)),
      ElementsAre(1, 0, 1, 0, 1, 0, 1, 1, 1));
}

TEST(Elements, AReplyThatLiesAllocatesNothing) {
  const int64_t huge = int64_t{1} << 60;
  EXPECT_THAT(
      CodesOf(Codes(4, v1::CODE_TYPE_UINT, v1::PACKING_DENSE, huge, "\x21")),
      ElementsAre(1, 2));
  EXPECT_TRUE(
      CodesOf(Codes(0, v1::CODE_TYPE_UINT, v1::PACKING_DENSE, 1, "\x21"))
          .empty());
}

}  // namespace
}  // namespace halfstep

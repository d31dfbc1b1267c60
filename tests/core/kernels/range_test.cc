// Parameters from a range: section 2 of docs/numerics.md, line by line.
#include "core/kernels/range.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace halfstep::kernels {
namespace {

template <typename T>
struct Pair {
  T scale;
  int32_t zero_point;
};

template <typename T>
Pair<T> Choose(const RangeRule<T>& rule, T low, T high) {
  Pair<T> pair = {-1, -99};
  ChooseParameters(rule, &low, &high, 1, &pair.scale, &pair.zero_point);
  return pair;
}

template <typename T>
RangeRule<T> Asymmetric(Order order) {
  return {{order, 0, 255}, false};
}

TEST(Range, TheNotebooksOwn) {
  const auto pair =
      Choose<double>(Asymmetric<double>(Order::kAddFirst), -9.1758, 199.9341);
  EXPECT_EQ(pair.scale, 0.8200388235294118);
  EXPECT_EQ(pair.zero_point, 11);
  const RangeRule<double> symmetric = {{Order::kAddFirst, -128, 127}, true};
  EXPECT_EQ(Choose<double>(symmetric, -9.1758, 199.9341).scale,
            1.5742842519685039);
}

TEST(Range, ZeroIsWithinExceptInTheNotebook) {
  EXPECT_EQ(Choose<float>(Asymmetric<float>(Order::kDivide), 2, 6).scale,
            6.0f / 255);
  EXPECT_EQ(Choose<float>(Asymmetric<float>(Order::kMultiply), 2, 6).scale,
            6.0f / 255);
  const auto notebook =
      Choose<float>(Asymmetric<float>(Order::kAddFirst), 1024, 1030);
  EXPECT_EQ(notebook.scale, 6.0f / 255);
  EXPECT_EQ(notebook.zero_point, -43520);  // far outside the codes
}

TEST(Range, PytorchHalvesTheWidthAndHasAFloor) {
  const RangeRule<float> symmetric = {{Order::kMultiply, -128, 127}, true};
  EXPECT_EQ(Choose<float>(symmetric, -1, 0.5f).scale, 1 / 127.5f);
  EXPECT_EQ(Choose<float>(symmetric, 0, 0).scale, 0x1p-23f);
  const RangeRule<float> signed_codes = {{Order::kMultiply, -128, 127}, false};
  const auto zero = Choose<float>(signed_codes, 0, 0);
  EXPECT_EQ(zero.scale, 0x1p-23f);
  EXPECT_EQ(zero.zero_point, -128);
}

TEST(Range, DegenerateSlices) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const Order order :
       {Order::kDivide, Order::kMultiply, Order::kAddFirst}) {
    const auto none =
        Choose<float>(Asymmetric<float>(order), kInfinity, -kInfinity);
    EXPECT_EQ(none.scale, 1);
    EXPECT_EQ(none.zero_point, 0);
  }
  for (const Order order : {Order::kDivide, Order::kAddFirst}) {
    const RangeRule<float> signed_codes = {{order, -128, 127}, false};
    const auto zero = Choose<float>(signed_codes, -0.0f, 0.0f);
    EXPECT_EQ(zero.scale, 1);
    EXPECT_EQ(zero.zero_point, 0);
  }
  // One value only: the notebook's range would have no width.
  const auto constant =
      Choose<float>(Asymmetric<float>(Order::kAddFirst), 5, 5);
  EXPECT_EQ(constant.scale, 5.0f / 255);
  EXPECT_EQ(constant.zero_point, 0);
}

TEST(Range, AZeroPointPastInt32IncludesZero) {
  const RangeRule<double> rule = {{Order::kAddFirst, 0, 65535}, false};
  const auto pair = Choose<double>(rule, 1, 1 + 0x1p-52);
  EXPECT_EQ(pair.scale, (1 + 0x1p-52) / 65535);
  EXPECT_EQ(pair.zero_point, 0);
}

TEST(Range, ZeroPointsAreInt32) {
  // Unsigned 32-bit codes whose zero point would be 2^32 - 1.
  const RangeRule<double> rule = {{Order::kDivide, 0, 4294967295.0}, false};
  EXPECT_EQ(Choose<double>(rule, -1, 0).zero_point, 2147483647);
}

TEST(Range, ScalesAreNormalAndFinite) {
  constexpr float kSmallest = std::numeric_limits<float>::min();
  EXPECT_EQ(
      Choose<float>(Asymmetric<float>(Order::kDivide), 0, kSmallest).scale,
      kSmallest);
  // Wider than float32: taken in float64.
  constexpr float kMax = std::numeric_limits<float>::max();
  const auto wide =
      Choose<float>(Asymmetric<float>(Order::kDivide), -kMax, kMax);
  EXPECT_EQ(wide.scale, static_cast<float>(2 * double{kMax} / 255));
  EXPECT_EQ(wide.zero_point, 128);
  constexpr double kDoubleMax = std::numeric_limits<double>::max();
  EXPECT_EQ(Choose<double>(Asymmetric<double>(Order::kDivide), -kDoubleMax,
                           kDoubleMax)
                .scale,
            kDoubleMax);
}

TEST(Range, TheClampComesFirst) {
  RangeRule<float> rule = Asymmetric<float>(Order::kDivide);
  rule.quantize.clamp_min = -1;
  EXPECT_EQ(Choose<float>(rule, -100, 4).scale, 5.0f / 255);
  rule.quantize.clamp_max = 2;
  EXPECT_EQ(Choose<float>(rule, -100, 4).scale, 3.0f / 255);
  // All of it on one bound.
  EXPECT_EQ(Choose<float>(rule, 10, 20).scale, 2.0f / 255);
}

}  // namespace
}  // namespace halfstep::kernels

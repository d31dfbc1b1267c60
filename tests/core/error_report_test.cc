// Error reports at their edges, and the logarithm they are made with.
#include "core/error_report.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "core/executor.h"
#include "core/tensor.h"

namespace halfstep {
namespace {

TEST(MeasureError, EdgesOfTheReport) {
  Executor executor({.threads = 1});
  const Cancellation never;
  const auto report = [&](std::vector<double> original,
                          std::vector<double> reconstructed) {
    const Shape shape = {static_cast<int64_t>(original.size())};
    const auto pieces = [](const std::vector<double>& reals) {
      return Pieces({reinterpret_cast<const std::byte*>(reals.data()),
                     reals.size() * sizeof(double)});
    };
    return *MeasureError(
        TensorView{DataType::kFloat64, shape, pieces(original)},
        TensorView{DataType::kFloat64, shape, pieces(reconstructed)},
        {executor, never});
  };
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(report({}, {}), ErrorReport());
  EXPECT_EQ(report({kInfinity}, {1}), ErrorReport());
  EXPECT_EQ(report({1, 2}, {1, 2}).sqnr_db, kInfinity);
  EXPECT_NEAR(report({1, 2}, {1, 2}).cosine_similarity, 1, 0x1p-52);
  EXPECT_EQ(report({0}, {0}).cosine_similarity, 1);
  EXPECT_EQ(report({0, 0}, {1, 0}).sqnr_db, -kInfinity);
  EXPECT_EQ(report({0, 0}, {1, 0}).cosine_similarity, 0);
  // Without an error the first element that counts has the largest.
  EXPECT_EQ(report({kInfinity, 3, 3}, {0, 3, 3}).max_absolute_error_index, 1u);
  // Sums past the range of float64.
  const ErrorReport overflow = report({1e200, -1e308}, {0, 1e308});
  EXPECT_EQ(overflow.mean_squared_error, kInfinity);
  EXPECT_TRUE(std::isnan(overflow.sqnr_db));
  EXPECT_FALSE(std::signbit(overflow.sqnr_db));
  const ErrorReport some = report({10, 0, -4, 3}, {9, 0, -3, 3});
  EXPECT_EQ(some.mean_squared_error, 0.5);
  EXPECT_EQ(some.mean_absolute_error, 0.5);
  EXPECT_EQ(some.max_absolute_error, 1);
  EXPECT_EQ(some.max_absolute_error_index, 0u);  // the first of two
  EXPECT_NEAR(some.sqnr_db, 10 * std::log10(125 / 2.0), 1e-12);
}

TEST(FixedLog10, IsALogarithm) {
  // 4 ulp: far below what a wrong digit of a constant, or
  // a missing term of the series, would change.
  std::mt19937_64 random(1);
  for (int i = 0; i < 200000; ++i) {
    const double exponent =
        std::uniform_real_distribution<double>(-307, 308)(random);
    const double x = std::pow(10, i % 2 == 0 ? exponent : exponent / 500);
    const double expected = std::log10(x);
    ASSERT_NEAR(FixedLog10(x), expected, 4 * std::fabs(expected) * 0x1p-52)
        << x;
  }
  EXPECT_EQ(FixedLog10(1), 0);
  EXPECT_NEAR(FixedLog10(0x1p-1074), std::log10(0x1p-1074), 1e-13);
}

}  // namespace
}  // namespace halfstep

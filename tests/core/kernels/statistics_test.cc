// Ranges and error sums: the same on every target as one element at a time.
#include "core/kernels/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/core/kernels/boundary_reals.h"
#include "tests/core/kernels/every_target.h"

namespace halfstep::kernels {
namespace {

class StatisticsKernel : public EveryTarget {};

template <typename T>
void TryRanges() {
  constexpr T kInfinity = std::numeric_limits<T>::infinity();
  for (size_t count = 0; count <= 130; ++count) {
    SCOPED_TRACE(count);
    const std::vector<T> reals = BoundaryReals<T>(T{0.1f}, -200, 55, count);
    T low = kInfinity;
    T high = -kInfinity;
    std::vector<T> lows(count + 1, kInfinity);
    std::vector<T> highs(count + 1, -kInfinity);
    const Run whole = {count, 0, 0};
    WidenRanges(reals.data(), {&whole, 1}, &low, &high);
    // Twice over the same slots, so that they are widened and not set.
    const Run rows[] = {{count / 2, 0, 1}, {count - count / 2, 0, 1}};
    WidenRanges(reals.data(), {rows, 2}, lows.data(), highs.data());

    T expected_low = kInfinity;
    T expected_high = -kInfinity;
    std::vector<T> expected_lows(count + 1, kInfinity);
    std::vector<T> expected_highs(count + 1, -kInfinity);
    for (size_t i = 0; i < count; ++i) {
      if (!std::isfinite(reals[i])) continue;
      expected_low = std::min(expected_low, reals[i]);
      expected_high = std::max(expected_high, reals[i]);
      const size_t slot = i < count / 2 ? i : i - count / 2;
      expected_lows[slot] = std::min(expected_lows[slot], reals[i]);
      expected_highs[slot] = std::max(expected_highs[slot], reals[i]);
    }
    ASSERT_EQ(low, expected_low);
    ASSERT_EQ(high, expected_high);
    ASSERT_EQ(lows, expected_lows);
    ASSERT_EQ(highs, expected_highs);
  }
}

TEST_P(StatisticsKernel, RangesInFloat32) { TryRanges<float>(); }
TEST_P(StatisticsKernel, RangesInFloat64) { TryRanges<double>(); }

// AddErrors is as one element at a time.
template <typename T>
void TryErrorsOf(const std::vector<T>& reals, const std::vector<T>& back) {
  ErrorSums sums;
  AddErrors(reals.data(), back.data(), reals.size(), 0, &sums);
  ErrorSums expected;
  for (size_t i = 0; i < reals.size(); ++i) {
    if (!std::isfinite(reals[i]) || !std::isfinite(back[i])) continue;
    const double r = reals[i];
    const double d = back[i];
    const double e = r - d;
    expected.squared_error[i % 8] += e * e;
    expected.absolute_error[i % 8] += std::fabs(e);
    expected.squared_real[i % 8] += r * r;
    expected.squared_reconstructed[i % 8] += d * d;
    expected.product[i % 8] += r * d;
    ++expected.element_count;
    if (std::fabs(e) > expected.max_absolute_error) {
      expected.max_absolute_error = std::fabs(e);
      expected.max_absolute_error_index = i;
    }
  }
  for (size_t k = 0; k < 8; ++k) {
    ASSERT_EQ(sums.squared_error[k], expected.squared_error[k]);
    ASSERT_EQ(sums.absolute_error[k], expected.absolute_error[k]);
    ASSERT_EQ(sums.squared_real[k], expected.squared_real[k]);
    ASSERT_EQ(sums.squared_reconstructed[k], expected.squared_reconstructed[k]);
    ASSERT_EQ(sums.product[k], expected.product[k]);
  }
  ASSERT_EQ(sums.element_count, expected.element_count);
  ASSERT_EQ(sums.max_absolute_error, expected.max_absolute_error);
  ASSERT_EQ(sums.max_absolute_error_index, expected.max_absolute_error_index);
}

template <typename T>
void TryErrors() {
  for (size_t count = 0; count <= 70; ++count) {
    SCOPED_TRACE(count);
    std::vector<T> reals = BoundaryReals<T>(T{0.1f}, -100, 100, count);
    std::vector<T> back = reals;
    for (size_t i = 0; i < count; ++i) {
      if (i % 3 == 0) back[i] = static_cast<T>(i) / 7;
      // Not squares that overflow: they would hide the order of the sums.
      if (std::fabs(back[i]) > T{1e15f}) back[i] = 1;
      if (std::isfinite(reals[i]) && std::fabs(reals[i]) > T{1e15f}) {
        reals[i] = 2;
      }
    }
    TryErrorsOf(reals, back);
  }
}

TEST_P(StatisticsKernel, ErrorsOfFloat32) { TryErrors<float>(); }
TEST_P(StatisticsKernel, ErrorsOfFloat64) { TryErrors<double>(); }

// Elements are taken for finite until a sum says otherwise: one that is not is
// left out wherever it lies, and nothing else is.
template <typename T>
void TryErrorsWithOneLeftOut() {
  constexpr T kInfinity = std::numeric_limits<T>::infinity();
  constexpr T kNan = std::numeric_limits<T>::quiet_NaN();
  std::vector<T> reals;
  std::vector<T> back;
  for (int i = 0; i < 43; ++i) {
    reals.push_back(static_cast<T>(i - 20) / 7);
    back.push_back(static_cast<T>(static_cast<int>(reals.back() * 4)) / 4);
  }
  TryErrorsOf(reals, back);
  for (std::vector<T>* side : {&reals, &back}) {
    for (T& real : *side) {
      const T kept = real;
      for (const T other : {kInfinity, -kInfinity, kNan}) {
        real = other;
        TryErrorsOf(reals, back);
      }
      // Finite, and so is its square in float64 if it is a float32.
      real = std::numeric_limits<T>::max();
      TryErrorsOf(reals, back);
      real = kept;
    }
  }
}

TEST_P(StatisticsKernel, OneErrorLeftOutInFloat32) {
  TryErrorsWithOneLeftOut<float>();
}
TEST_P(StatisticsKernel, OneErrorLeftOutInFloat64) {
  TryErrorsWithOneLeftOut<double>();
}

TEST_P(StatisticsKernel, ErrorsGoOnFromStripToStrip) {
  const std::vector<double> reals = {1, 2, 3, 4, 5, 6, 7, 8};
  const std::vector<double> first(8, 0.0);
  ErrorSums sums;
  AddErrors(reals.data(), first.data(), 8, 0, &sums);
  AddErrors(reals.data(), first.data(), 3, 8, &sums);
  EXPECT_EQ(sums.element_count, 11u);
  EXPECT_EQ(sums.absolute_error[2], 6);
  EXPECT_EQ(sums.absolute_error[3], 4);
  // The first of equal errors: the second strip has none above.
  EXPECT_EQ(sums.max_absolute_error_index, 7u);
}

INSTANTIATE_TEST_SUITE_P(Targets, StatisticsKernel,
                         testing::ValuesIn(SimdTargets()), TargetName);

}  // namespace
}  // namespace halfstep::kernels

// 16-bit reals: all of them widened, and everything around them narrowed.
#include "core/kernels/float16.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "core/kernels/reference.h"
#include "tests/core/kernels/every_target.h"
#include "tests/core/kernels/misaligned.h"

namespace halfstep::kernels {
namespace {

using ::testing::Each;

class Float16Kernel : public EveryTarget {};

std::vector<uint16_t> AllBits() {
  std::vector<uint16_t> bits(65536);
  for (size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<uint16_t>(i);
  return bits;
}

// The value of a float16 by its definition: sign, 5 bits of exponent, 10 of
// fraction.
double Float16Value(uint16_t bits) {
  const int exponent = bits >> 10 & 31;
  const int fraction = bits & 1023;
  const double magnitude = exponent == 0
                               ? std::ldexp(fraction, -24)
                               : std::ldexp(1024 + fraction, exponent - 25);
  return bits & 0x8000 ? -magnitude : magnitude;
}

TEST_P(Float16Kernel, WidensEveryFiniteFloat16) {
  const std::vector<uint16_t> bits = AllBits();
  std::vector<float> wide(bits.size());
  WidenFloat16(bits.data(), bits.size(), wide.data());
  for (size_t i = 0; i < bits.size(); ++i) {
    if ((bits[i] & 0x7C00) == 0x7C00) {
      ASSERT_FALSE(std::isfinite(wide[i])) << i;
      ASSERT_EQ(std::isnan(wide[i]), (bits[i] & 0x3FF) != 0) << i;
      continue;
    }
    ASSERT_EQ(wide[i], Float16Value(bits[i])) << i;
    ASSERT_EQ(std::signbit(wide[i]), bits[i] >= 0x8000) << i;
  }
}

TEST_P(Float16Kernel, WidensEveryBFloat16) {
  const std::vector<uint16_t> bits = AllBits();
  std::vector<float> wide(bits.size());
  WidenBFloat16(bits.data(), bits.size(), wide.data());
  for (size_t i = 0; i < bits.size(); ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>(wide[i]), uint32_t{bits[i]} << 16);
  }
}

// Every 16-bit number, the midpoint to the next one, and the neighbours of
// both: a rounding that is off by one step, or made twice, shows on these.
template <typename T>
std::vector<T> RoundingReals(bool bfloat) {
  std::vector<T> reals;
  const uint16_t end = bfloat ? 0x7F80 : 0x7C00;
  for (uint16_t bits = 0; bits < end; ++bits) {
    const auto value = [&](uint16_t b) {
      return bfloat ? static_cast<double>(reference::BFloat16ToFloat32(b))
                    : Float16Value(b);
    };
    const double here = value(bits);
    // Past the largest number the step goes on as below it.
    const double next = bits + 1 < end
                            ? value(static_cast<uint16_t>(bits + 1))
                            : 2 * here - value(static_cast<uint16_t>(bits - 1));
    for (const double real : {here, (here + next) / 2}) {
      const T nearest = static_cast<T>(real);
      constexpr T kInfinity = std::numeric_limits<T>::infinity();
      for (const T each : {nearest, std::nextafter(nearest, kInfinity),
                           std::nextafter(nearest, -kInfinity)}) {
        reals.push_back(each);
        reals.push_back(-each);
      }
    }
  }
  for (const T each :
       {std::numeric_limits<T>::max(), std::numeric_limits<T>::lowest(),
        std::numeric_limits<T>::infinity(), -std::numeric_limits<T>::infinity(),
        std::numeric_limits<T>::quiet_NaN(),
        std::numeric_limits<T>::denorm_min()}) {
    reals.push_back(each);
  }
  return reals;
}

// Nearest even by search: the 16-bit number at or below, or the one above.
template <typename T>
uint16_t NarrowedBySearch(T real, bool bfloat) {
  if (std::isnan(real)) return 0;
  const uint16_t last = bfloat ? 0x7F7F : 0x7BFF;
  const double magnitude = std::fabs(static_cast<double>(real));
  uint16_t low = 0;
  uint16_t high = last;
  const auto value = [&](uint16_t b) {
    return bfloat ? static_cast<double>(reference::BFloat16ToFloat32(b))
                  : Float16Value(b);
  };
  while (low < high) {
    const auto middle = static_cast<uint16_t>((low + high + 1) / 2);
    if (value(middle) <= magnitude) {
      low = middle;
    } else {
      high = static_cast<uint16_t>(middle - 1);
    }
  }
  if (low != last) {
    // Differences of a float64 and a neighbouring 16-bit number are exact.
    const double below = magnitude - value(low);
    const double above = value(static_cast<uint16_t>(low + 1)) - magnitude;
    if (above < below || (above == below && low % 2 == 1)) ++low;
  }
  return static_cast<uint16_t>(low | (std::signbit(real) ? 0x8000 : 0));
}

template <typename T>
void TryNarrowing(void (*narrow)(const T*, size_t, uint16_t*), bool bfloat) {
  const std::vector<T> reals = RoundingReals<T>(bfloat);
  std::vector<uint16_t> narrowed(reals.size());
  narrow(reals.data(), reals.size(), narrowed.data());
  for (size_t i = 0; i < reals.size(); ++i) {
    ASSERT_EQ(narrowed[i], NarrowedBySearch(reals[i], bfloat))
        << i << ": " << reals[i];
  }
}

TEST_P(Float16Kernel, NarrowsOnceToNearestEven) {
  TryNarrowing<float>(NarrowToFloat16, false);
  TryNarrowing<float>(NarrowToBFloat16, true);
  TryNarrowing<double>(NarrowToFloat16, false);
  TryNarrowing<double>(NarrowToBFloat16, true);
}

TEST_P(Float16Kernel, TailsAreAsLongAsTheyAre) {
  for (size_t count = 0; count <= 40; ++count) {
    const std::vector<float> reals(count, 1.5f);
    std::vector<uint16_t> narrow(count + 1, 0x1234);
    NarrowToFloat16(reals.data(), count, narrow.data());
    std::vector<float> wide(count + 1, -7);
    WidenFloat16(narrow.data(), count, wide.data());
    for (size_t i = 0; i < count; ++i) ASSERT_EQ(wide[i], 1.5f);
    ASSERT_EQ(narrow[count], 0x1234);
    ASSERT_EQ(wide[count], -7);
  }
}

TEST_P(Float16Kernel, NothingNeedBeAligned) {
  constexpr size_t kCount = 37;
  constexpr uint16_t kOneAndAHalf = 0x3E00;
  constexpr uint16_t kBrainOneAndAHalf = 0x3FC0;
  Misaligned<double> real64(std::vector<double>(kCount, 1.5));
  Misaligned<float> real32(std::vector<float>(kCount, 0));
  Misaligned<uint16_t> real16(std::vector<uint16_t>(kCount, 0));
  NarrowToFloat32(real64.data(), kCount, real32.data());
  EXPECT_THAT(real32.Aligned(), Each(1.5f));
  NarrowToFloat16(real32.data(), kCount, real16.data());
  EXPECT_THAT(real16.Aligned(), Each(kOneAndAHalf));
  NarrowToBFloat16(real64.data(), kCount, real16.data());
  EXPECT_THAT(real16.Aligned(), Each(kBrainOneAndAHalf));
  NarrowToFloat16(real64.data(), kCount, real16.data());
  EXPECT_THAT(real16.Aligned(), Each(kOneAndAHalf));
  real32 = Misaligned<float>(std::vector<float>(kCount, 0));
  WidenFloat16(real16.data(), kCount, real32.data());
  EXPECT_THAT(real32.Aligned(), Each(1.5f));
  real64 = Misaligned<double>(std::vector<double>(kCount, 0));
  WidenFloat32(real32.data(), kCount, real64.data());
  EXPECT_THAT(real64.Aligned(), Each(1.5));
}

TEST_P(Float16Kernel, Float64ToFloat32Saturates) {
  const std::vector<double> reals = {1e300,
                                     -1e300,
                                     0x1.FFFFFFp127,
                                     0.1,
                                     std::numeric_limits<double>::quiet_NaN(),
                                     -0.0};
  std::vector<float> narrow(reals.size());
  NarrowToFloat32(reals.data(), reals.size(), narrow.data());
  EXPECT_EQ(narrow[0], std::numeric_limits<float>::max());
  EXPECT_EQ(narrow[1], std::numeric_limits<float>::lowest());
  EXPECT_EQ(narrow[2], std::numeric_limits<float>::max());
  EXPECT_EQ(narrow[3], 0.1f);
  EXPECT_EQ(narrow[4], 0);
  EXPECT_TRUE(std::signbit(narrow[5]));
}

TEST_P(Float16Kernel, CountsWhatIsCutOnce) {
  const std::vector<float> reals = {65519,
                                    65520,
                                    -1e30f,
                                    std::numeric_limits<float>::infinity(),
                                    std::numeric_limits<float>::quiet_NaN(),
                                    -3};
  std::vector<float> clamped(reals.size());
  std::vector<uint8_t> mask(reals.size());
  CutCounts cuts;
  const FloatCodeRule rule = {-1e6, std::numeric_limits<double>::infinity(),
                              65520};
  ClampForFloatCodes(reals.data(), reals.size(), rule, clamped.data(), &cuts,
                     mask.data());
  EXPECT_EQ(cuts.saturated, 1u);   // 65520; 65519 rounds to a code
  EXPECT_EQ(cuts.clamped, 1u);     // -1e30, although it saturates as well
  EXPECT_EQ(cuts.non_finite, 2u);  // no upper bound catches the infinity
  EXPECT_EQ(mask, (std::vector<uint8_t>{1, 0, 0, 0, 0, 1}));
  EXPECT_EQ(clamped[2], -1e6f);
}

INSTANTIATE_TEST_SUITE_P(Targets, Float16Kernel,
                         testing::ValuesIn(SimdTargets()), TargetName);

}  // namespace
}  // namespace halfstep::kernels

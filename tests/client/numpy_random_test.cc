// NumPy's random numbers, bit for bit.
//
// The expected doubles were computed by NumPy 1.24.2: np.random.seed(seed);
// np.random.uniform(low, high, size), printed with float.hex().
#include "client/numpy_random.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace halfstep {
namespace {

struct Golden {
  uint32_t seed;
  double low;
  double high;
  std::vector<double> reals;
};

const Golden kGolden[] = {
    {0u,
     -20,
     200,
     {0x1.92f4b4c736811p+6, 0x1.12aeee236f430p+7, 0x1.c26e888a5fbf8p+6,
      0x1.8f7f4891329bdp+6}},
    {42u,
     -20,
     200,
     {0x1.f330cbc33d4cep+5, 0x1.7a5075a016c30p+7, 0x1.1a13cc2fe20cap+7,
      0x1.bed1c887a74cep+6}},
    {20240229u,
     -0.1,
     0.3,
     {0x1.fdc0f969a43a4p-4, 0x1.292bdc11d0c8ep-2, 0x1.eac4764a05768p-6,
      0x1.1454c5e16dcaep-2}},
    {4294967295u,
     0,
     1,
     {0x1.8fe69a3924820p-4, 0x1.d323d824032b1p-1, 0x1.93fc6f61af3f9p-1,
      0x1.8f5ca1b151c07p-1}},
};

TEST(NumpyRandom, UniformEqualsNumpy) {
  for (const Golden& golden : kGolden) {
    SCOPED_TRACE(golden.seed);
    NumpyRandom random(golden.seed);
    EXPECT_EQ(random.Uniform({.low = golden.low, .high = golden.high},
                             golden.reals.size()),
              golden.reals);
  }
}

// The generator makes 624 outputs at a time, and a real takes two.
TEST(NumpyRandom, EqualsNumpyWhereTheStateIsRenewed) {
  NumpyRandom random(42);
  const std::vector<double> reals =
      random.Uniform({.low = -20, .high = 200}, 100'000);
  EXPECT_EQ(reals[623], 0x1.5a61568df90aap+6);
  EXPECT_EQ(reals[624], 0x1.d0106f5798582p+6);
  EXPECT_EQ(reals[99'999], 0x1.071e956466176p+6);
}

TEST(NumpyRandom, SamplesAreBelowOne) {
  NumpyRandom random(7);
  for (int i = 0; i < 10'000; ++i) {
    const double sample = random.RandomSample();
    ASSERT_GE(sample, 0);
    ASSERT_LT(sample, 1);
  }
}

TEST(NumpyRandom, AnEmptyArrayTakesNoNumbers) {
  NumpyRandom random(3);
  NumpyRandom other(3);
  EXPECT_TRUE(random.Uniform({.low = 0, .high = 1}, 0).empty());
  EXPECT_EQ(random.RandomSample(), other.RandomSample());
}

}  // namespace
}  // namespace halfstep

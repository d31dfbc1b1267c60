// Every SIMD target must equal the scalar reference, bit for bit.
#include "core/kernels/affine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <tuple>
#include <vector>

#include "core/kernels/reference.h"
#include "tests/core/kernels/boundary_reals.h"
#include "tests/core/kernels/every_target.h"
#include "tests/core/kernels/misaligned.h"

namespace halfstep::kernels {
namespace {

constexpr float kNoBound = std::numeric_limits<float>::infinity();

// How one tensor is quantized, for the tests below.
template <typename T>
struct Case {
  QuantizeRule<T> rule;
  CodeKind kind;
  std::vector<T> scale;
  std::vector<int32_t> zero_point;
  size_t step;  // 0: all elements use the first pair
};

template <typename T, typename C>
void ExpectEqualsReference(const Case<T>& c, const std::vector<T>& reals) {
  const size_t count = reals.size();
  Misaligned<T> misaligned(reals);
  const T* input = misaligned.data();
  const Run run = {count, 0, c.step};
  const bool far = std::abs(int64_t{c.zero_point[0]}) > 1 << 23;
  const Pairs<T> pairs = {c.scale.data(), c.zero_point.data(), far};

  Misaligned<C> codes(count);
  CutCounts cuts;
  Quantize(input, {&run, 1}, pairs, c.rule, c.kind, codes.data(), &cuts);
  std::vector<uint8_t> mask(count);
  GradientMask(input, {&run, 1}, pairs, c.rule, mask.data());
  Misaligned<T> back(count);
  Dequantize(codes.data(), c.kind, {&run, 1}, pairs, back.data());

  CutCounts expected;
  for (size_t i = 0; i < count; ++i) {
    SCOPED_TRACE(testing::Message() << "element " << i << " of " << count
                                    << ", real " << reals[i]);
    const T scale = c.scale[i * c.step];
    const int32_t zero_point = c.zero_point[i * c.step];
    const reference::Coded coded =
        reference::Quantize(reals[i], scale, zero_point, c.rule);
    ASSERT_EQ(int64_t{codes.At(i)}, coded.code);
    ASSERT_EQ(mask[i], !(coded.clamped || coded.non_finite || coded.saturated));
    ASSERT_EQ(back.At(i),
              reference::Dequantize<T>(coded.code, scale, zero_point));
    expected.clamped += coded.clamped;
    expected.non_finite += coded.non_finite;
    expected.saturated += coded.saturated;
  }
  EXPECT_EQ(cuts.clamped, expected.clamped);
  EXPECT_EQ(cuts.non_finite, expected.non_finite);
  EXPECT_EQ(cuts.saturated, expected.saturated);
}

template <typename T, typename C>
void TryEveryLength(const QuantizeRule<T>& rule, CodeKind kind, T scale,
                    int32_t zero_point) {
  // 0 to 130 straddles every vector width up to 64 lanes, twice.
  for (size_t count = 0; count <= 130; ++count) {
    for (const size_t step : {size_t{0}, size_t{1}}) {
      Case<T> c = {rule, kind, {}, {}, step};
      for (size_t i = 0; i <= count; ++i) {
        // Different pairs per element where each has its own.
        c.scale.push_back(scale * static_cast<T>(1 + step * i % 7));
        c.zero_point.push_back(zero_point);
      }
      ExpectEqualsReference<T, C>(
          c, BoundaryReals<T>(scale, double{rule.quant_min} - zero_point,
                              double{rule.quant_max} - zero_point, count));
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

class AffineKernel : public EveryTarget {};

TEST_P(AffineKernel, EqualsReferenceInFloat32) {
  for (const Order order :
       {Order::kDivide, Order::kMultiply, Order::kAddFirst}) {
    for (const bool clamp : {false, true}) {
      SCOPED_TRACE(testing::Message() << "order " << static_cast<int>(order)
                                      << ", clamp " << clamp);
      const float scale = 0.00214854861f;
      QuantizeRule<float> rule = {order, 0, 255};
      if (clamp) rule.clamp_max = 100 * scale;
      TryEveryLength<float, uint8_t>(rule, CodeKind::kU8, scale, 11);
      rule = {order, -127, 127};
      if (clamp) rule.clamp_min = -50.5f * scale;
      TryEveryLength<float, int8_t>(rule, CodeKind::kI8, scale, 0);
      rule = {order, 0, 65535};
      TryEveryLength<float, uint16_t>(rule, CodeKind::kU16, 0.125f, 40001);
      rule = {order, -32768, 32767};
      TryEveryLength<float, int16_t>(rule, CodeKind::kI16, 3e20f, -7);
    }
  }
}

TEST_P(AffineKernel, EqualsReferenceInFloat64) {
  for (const Order order :
       {Order::kDivide, Order::kMultiply, Order::kAddFirst}) {
    SCOPED_TRACE(testing::Message() << "order " << static_cast<int>(order));
    QuantizeRule<double> rule = {order, 0, 255};
    TryEveryLength<double, uint8_t>(rule, CodeKind::kU8, 0.82003882352941181,
                                    11);
    rule = {order, -128, 127};
    rule.clamp_min = -60;
    TryEveryLength<double, int8_t>(rule, CodeKind::kI8, 1.5742842519685039, 0);
    rule = {order, 0, 4294967295.0};
    TryEveryLength<double, uint32_t>(rule, CodeKind::kU32, 1e-9, 2000000001);
    rule = {order, -2147483648.0, 2147483647};
    TryEveryLength<double, int32_t>(rule, CodeKind::kI32, 0.1, -5);
    rule = {order, 0, 131071};
    TryEveryLength<double, uint32_t>(rule, CodeKind::kU32, 0.25, 3);
    rule = {order, -32767, 32767};
    TryEveryLength<double, int16_t>(rule, CodeKind::kI16, 0.3, 1001);
    rule = {order, 0, 65535};
    TryEveryLength<double, uint16_t>(rule, CodeKind::kU16, 0.3, 1001);
  }
}

TEST_P(AffineKernel, TakesZeroPointsFarOutsideTheCodes) {
  // Only NOTEBOOK has them: [1024, 1030] at 8 bits is one such range.
  for (const int32_t zero_point :
       {-43520, 1 << 23, 16777217, 2147483647, -2147483647 - 1}) {
    SCOPED_TRACE(zero_point);
    TryEveryLength<float, uint8_t>({Order::kAddFirst, 0, 255}, CodeKind::kU8,
                                   6.0f / 255, zero_point);
    TryEveryLength<double, int32_t>(
        {Order::kAddFirst, -2147483648.0, 2147483647}, CodeKind::kI32, 1e-3,
        zero_point);
  }
}

TEST_P(AffineKernel, RunsFollowEachOther) {
  // Runs shorter and longer than any vector, each with its own pair.
  const std::vector<kernels::Run> runs = {
      {3, 0, 0}, {40, 1, 0}, {1, 2, 0}, {5, 3, 1}};
  const std::vector<float> scale = {0.5f, 0.25f, 2, 1, 3, 5, 7, 9};
  const std::vector<int32_t> zero_point = {1, 2, 3, 4, 5, 6, 7, 8};
  const QuantizeRule<float> rule = {Order::kDivide, 0, 255};
  const std::vector<float> reals = BoundaryReals<float>(0.5f, 0, 255, 49);
  std::vector<uint8_t> codes(reals.size());
  CutCounts cuts;
  Quantize(reals.data(), {runs.data(), runs.size()},
           {scale.data(), zero_point.data()}, rule, CodeKind::kU8, codes.data(),
           &cuts);
  size_t i = 0;
  for (const kernels::Run& run : runs) {
    for (size_t k = 0; k < run.count; ++k, ++i) {
      const size_t pair = run.pair + k * run.step;
      EXPECT_EQ(codes[i], reference::Quantize(reals[i], scale[pair],
                                              zero_point[pair], rule)
                              .code)
          << i;
    }
  }
}

TEST_P(AffineKernel, ShortRunsAreCountedEachWithItsPair) {
  // Whole vectors, parts of them, and more of both than exceptions are kept of
  // before they are counted.
  const QuantizeRule<float> rule = {Order::kDivide, 0, 255};
  for (const size_t length : std::initializer_list<size_t>{
           1, 2, 16, 31, 32, 33, 64, 100, 128, 129, 256}) {
    SCOPED_TRACE(length);
    constexpr size_t kTimes = 77;
    const std::vector<float> reals =
        BoundaryReals<float>(0.5f, -20, 300, length * kTimes);
    std::vector<float> scale;
    std::vector<int32_t> zero_point;
    for (size_t pair = 0; pair <= kTimes; ++pair) {
      scale.push_back(0.25f * static_cast<float>(1 + pair % 5));
      zero_point.push_back(static_cast<int32_t>(pair));
    }
    const kernels::Run run = {length, 1, 0, kTimes};
    std::vector<uint8_t> codes(reals.size());
    CutCounts cuts;
    Quantize(reals.data(), {&run, 1}, {scale.data(), zero_point.data()}, rule,
             CodeKind::kU8, codes.data(), &cuts);
    CutCounts expected;
    for (size_t i = 0; i < reals.size(); ++i) {
      const size_t pair = 1 + i / length;
      const reference::Coded coded =
          reference::Quantize(reals[i], scale[pair], zero_point[pair], rule);
      ASSERT_EQ(codes[i], coded.code) << i;
      expected.non_finite += coded.non_finite;
      expected.saturated += coded.saturated;
    }
    EXPECT_GT(expected.saturated, 0u);
    EXPECT_EQ(cuts.non_finite, expected.non_finite);
    EXPECT_EQ(cuts.saturated, expected.saturated);
  }
}

// Quantize is held to its definition above.
template <typename T, typename C>
void ExpectQuantizesAndWidens(const QuantizeRule<T>& rule, CodeKind kind,
                              size_t length) {
  constexpr size_t kTimes = 5;
  std::vector<T> all = BoundaryReals<T>(T{0.5f}, -20, 300, 2 * length * kTimes);
  for (size_t i = length * kTimes; i < all.size(); ++i) {
    // No two runs that follow have the same range.
    if (std::isfinite(all[i]) && std::fabs(all[i]) > T{1e6f}) all[i] = 1;
    all[i] += static_cast<T>(10 * (i / length));
  }
  Misaligned<T> misaligned(all);
  const T* reals = misaligned.data();
  const T* following = reals + length * kTimes;
  const std::vector<T> scale = {T{9}, T{0.5f}, T{0.25f}, T{1}, T{2}, T{0.75f}};
  const std::vector<int32_t> zero_point = {9, 1, 2, 3, 4, 5};
  const Run run = {length, 1, 0, kTimes};
  for (const int32_t* zero_points :
       {zero_point.data(), static_cast<const int32_t*>(nullptr)}) {
    const Pairs<T> pairs = {scale.data(), zero_points};
    // Widened, and not set: some of these stay.
    std::vector<T> low(kTimes, T{-3});
    std::vector<T> high(kTimes, T{160});
    Misaligned<C> codes(length * kTimes);
    CutCounts cuts;
    QuantizeAndWiden(reals, run, pairs, rule, kind, codes.data(), &cuts,
                     {following, low.data(), high.data()});

    Misaligned<C> expected_codes(length * kTimes);
    CutCounts expected_cuts;
    Quantize(reals, {&run, 1}, pairs, rule, kind, expected_codes.data(),
             &expected_cuts);
    std::vector<T> expected_low(kTimes, T{-3});
    std::vector<T> expected_high(kTimes, T{160});
    for (size_t i = 0; i < length * kTimes; ++i) {
      const T real = all[length * kTimes + i];
      if (!std::isfinite(real)) continue;
      expected_low[i / length] = std::min(expected_low[i / length], real);
      expected_high[i / length] = std::max(expected_high[i / length], real);
    }
    ASSERT_EQ(codes.bytes, expected_codes.bytes);
    ASSERT_EQ(low, expected_low);
    ASSERT_EQ(high, expected_high);
    ASSERT_EQ(cuts.clamped, expected_cuts.clamped);
    ASSERT_EQ(cuts.non_finite, expected_cuts.non_finite);
    ASSERT_EQ(cuts.saturated, expected_cuts.saturated);
  }
}

TEST_P(AffineKernel, QuantizesAndWidensAsOneAfterTheOther) {
  for (const size_t length : std::initializer_list<size_t>{
           1, 4, 8, 16, 31, 32, 48, 128, 512, 2048, 2064}) {
    for (const Order order :
         {Order::kDivide, Order::kMultiply, Order::kAddFirst}) {
      for (const bool clamp : {false, true}) {
        SCOPED_TRACE(testing::Message()
                     << "length " << length << ", order "
                     << static_cast<int>(order) << ", clamp " << clamp);
        QuantizeRule<float> rule = {order, 0, 255};
        if (clamp) rule.clamp_max = 100;
        ExpectQuantizesAndWidens<float, uint8_t>(rule, CodeKind::kU8, length);
        rule.quant_min = -127;
        rule.quant_max = 127;
        ExpectQuantizesAndWidens<float, int8_t>(rule, CodeKind::kI8, length);
        rule.quant_max = 32767;
        ExpectQuantizesAndWidens<float, int16_t>(rule, CodeKind::kI16, length);
        ExpectQuantizesAndWidens<double, uint8_t>({order, 0, 255},
                                                  CodeKind::kU8, length);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(AffineKernel, DividesAndDoesNotMultiply) {
  // docs/numerics.md, section 12: 127.499992 by division, 127.5 by reciprocal.
  const float real = 0.273939937f;
  const float scale = 0.00214854861f;
  const kernels::Run run = {1, 0, 0};
  uint8_t code = 0;
  CutCounts cuts;
  Quantize(&real, {&run, 1}, {&scale, nullptr}, {Order::kDivide, 0, 255},
           CodeKind::kU8, &code, &cuts);
  EXPECT_EQ(code, 127);
  Quantize(&real, {&run, 1}, {&scale, nullptr}, {Order::kMultiply, 0, 255},
           CodeKind::kU8, &code, &cuts);
  EXPECT_EQ(code, 128);
}

TEST_P(AffineKernel, ReconstructionSaturates) {
  // FLT_MAX at 8 bits: (255 - 128) * scale is past it by a rounding.
  const float scale = 2.68e36f;
  const int32_t zero_point = 128;
  const kernels::Run run = {2, 0, 0};
  const uint8_t codes[] = {255, 0};
  float reals[2];
  Dequantize(codes, CodeKind::kU8, {&run, 1}, {&scale, &zero_point}, reals);
  EXPECT_EQ(reals[0], std::numeric_limits<float>::max());
  EXPECT_EQ(reals[1], std::numeric_limits<float>::lowest());
  EXPECT_LT(reals[0], kNoBound);
}

INSTANTIATE_TEST_SUITE_P(Targets, AffineKernel,
                         testing::ValuesIn(SimdTargets()), TargetName);

}  // namespace
}  // namespace halfstep::kernels

// Parameters from calibration states, against brute force on the data itself.
#include "core/calibration_parameters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "core/calibration_observer.h"
#include "core/calibration_ranges.h"
#include "core/field_error.h"
#include "core/quantize.h"

namespace halfstep {
namespace {

struct Data {
  std::string name;
  std::vector<float> reals;
  bool continuous = true;
};

// The elements of a float32 .npy file of tests/data: a header of a multiple of
// 64 bytes whose length is in bytes 8 and 9.
std::vector<float> ReadReals(const std::string& name) {
  std::ifstream file("tests/data/" + name, std::ios::binary);
  std::vector<char> bytes(std::istreambuf_iterator<char>(file), {});
  EXPECT_GT(bytes.size(), 10u) << name;
  const size_t begin = 10 + static_cast<unsigned char>(bytes[8]) +
                       256u * static_cast<unsigned char>(bytes[9]);
  std::vector<float> reals((bytes.size() - begin) / sizeof(float));
  std::memcpy(reals.data(), bytes.data() + begin, reals.size() * sizeof(float));
  return reals;
}

template <typename Distribution>
Data Drawn(const std::string& name, Distribution distribution) {
  std::mt19937_64 random(99);
  Data data = {.name = name, .reals = std::vector<float>(100000)};
  for (float& real : data.reals) {
    real = static_cast<float>(distribution(random));
  }
  return data;
}

// Five continuous distributions, two of them real, and integers.
std::vector<Data> AllData() {
  Data integers = Drawn("integers", std::normal_distribution<double>(0, 40));
  for (float& real : integers.reals) real = std::round(real);
  integers.continuous = false;
  return {
      {.name = "GloVe", .reals = ReadReals("glove_1000x100.npy")},
      {.name = "Silero", .reals = ReadReals("silero_vad_encoder3.npy")},
      Drawn("normal", std::normal_distribution<double>(0, 1)),
      Drawn("uniform", std::uniform_real_distribution<double>(-1, 3)),
      Drawn("exponential", std::exponential_distribution<double>(1)),
      integers,
  };
}

Spec SpecOf(Scheme scheme, uint32_t bits) {
  Spec spec;
  spec.scheme = scheme;
  spec.bits = bits;
  return spec;
}

CalibrationQuestion Ask(const Spec& spec,
                        CalibrationMethod method = CalibrationMethod::kMinMax) {
  CalibrationQuestion question;
  question.spec = spec;
  question.method = method;
  return question;
}

class CalibrationParameters : public ::testing::Test {
 protected:
  Execution execution() { return {executor_, cancellation_}; }

  static TensorView ViewOf(const std::vector<float>& reals) {
    return {.dtype = DataType::kFloat32,
            .shape = {static_cast<int64_t>(reals.size())},
            .reals = Pieces({reinterpret_cast<const std::byte*>(reals.data()),
                             reals.size() * sizeof(float)})};
  }

  CalibrationState StateOf(const std::vector<float>& reals) {
    CalibrationObserver observer(std::nullopt, {});
    EXPECT_EQ(observer.Observe(ViewOf(reals), cancellation_), absl::OkStatus());
    return *observer.Finish();
  }

  CalibratedParameters Compute(const CalibrationState& state,
                               const CalibrationQuestion& question) {
    auto result = ComputeParameters(state, question, execution());
    EXPECT_TRUE(result.ok()) << result.status();
    return *std::move(result);
  }

  ErrorReport Measured(const std::vector<float>& reals,
                       const Parameters& parameters) {
    const TensorView view = ViewOf(reals);
    const auto plan =
        QuantizePlan::Static(parameters, view.dtype, view.shape, 1);
    EXPECT_TRUE(plan.ok()) << plan.status();
    const auto result = Quantize(*plan, view.reals, true, execution(), {});
    EXPECT_TRUE(result.ok()) << result.status();
    return *result->error;
  }

  double MeasuredForRange(const std::vector<float>& reals, const Spec& spec,
                          double low, double high) {
    const CalibrationQuestion question = Ask(spec);
    const auto parameters = ComputeParameters({low}, {high}, question);
    EXPECT_TRUE(parameters.ok()) << parameters.status();
    return Measured(reals, *parameters).mean_squared_error;
  }

  Executor executor_{{.threads = 2}};
  Cancellation cancellation_;
};

std::vector<Spec> Specs() {
  std::vector<Spec> specs;
  for (const Scheme scheme : {Scheme::kAsymmetric, Scheme::kSymmetric}) {
    for (const uint32_t bits : {8u, 4u, 3u}) {
      specs.push_back(SpecOf(scheme, bits));
    }
  }
  return specs;
}

TEST_F(CalibrationParameters, MinMaxIsDynamicQuantization) {
  std::vector<Spec> specs = Specs();
  for (const Profile profile : {Profile::kPytorch, Profile::kNotebook}) {
    for (Spec spec : Specs()) {
      spec.profile = profile;
      specs.push_back(spec);
    }
  }
  Spec narrow = SpecOf(Scheme::kSymmetric, 8);
  narrow.narrow_range = true;
  Spec clamped;
  clamped.bits = 20;
  clamped.clamp = ClampRange{.min = -0.25, .max = 0.5};
  specs.push_back(narrow);
  specs.push_back(clamped);
  for (const Data& data : AllData()) {
    SCOPED_TRACE(data.name);
    const TensorView view = ViewOf(data.reals);
    const CalibrationState state = StateOf(data.reals);
    for (size_t i = 0; i < specs.size(); ++i) {
      SCOPED_TRACE(i);
      const auto plan =
          QuantizePlan::Dynamic(specs[i], view.dtype, view.shape, 1);
      ASSERT_TRUE(plan.ok());
      const auto dynamic = Quantize(*plan, view.reals, false, execution(), {});
      ASSERT_TRUE(dynamic.ok());
      EXPECT_TRUE(Compute(state, Ask(specs[i])).parameters ==
                  dynamic->parameters);
    }
  }
}

// NumPy's linear interpolation between the neighbours of rank q (n - 1).
double ExactQuantile(std::vector<float> reals, double quantile) {
  std::sort(reals.begin(), reals.end());
  const double position = quantile * static_cast<double>(reals.size() - 1);
  const auto rank = static_cast<size_t>(position);
  const double next = reals[std::min(rank + 1, reals.size() - 1)];
  return reals[rank] + (next - reals[rank]) * (position - std::floor(position));
}

TEST_F(CalibrationParameters, QuantilesAreWithinABucket) {
  for (const Data& data : AllData()) {
    SCOPED_TRACE(data.name);
    const CalibrationState state = StateOf(data.reals);
    const auto pieces = DensityOf(state.summaries[0], DataType::kFloat32);
    for (const double quantile : {0.0, 0.00005, 0.001, 0.01, 0.1, 0.37, 0.5,
                                  0.9, 0.99, 0.999, 0.9999, 0.99995, 1.0}) {
      SCOPED_TRACE(quantile);
      const double exact = ExactQuantile(data.reals, quantile);
      // A bucket is 2^-7 of its start wide; that of 0 ends at 2^-133.
      EXPECT_NEAR(Quantile(pieces, quantile), exact,
                  std::fabs(exact) * 0x1p-7 + 0x1p-133);
    }
  }
}

TEST_F(CalibrationParameters, PercentileOneIsMinMax) {
  for (const Data& data : AllData()) {
    const CalibrationState state = StateOf(data.reals);
    for (const Spec& spec : Specs()) {
      CalibrationQuestion all = Ask(spec, CalibrationMethod::kPercentile);
      all.quantile = 1;
      EXPECT_TRUE(Compute(state, all).parameters ==
                  Compute(state, Ask(spec)).parameters)
          << data.name;
    }
  }
}

TEST_F(CalibrationParameters, ExpectedErrorIsTheMeasuredOne) {
  for (const Data& data : AllData()) {
    if (!data.continuous) continue;
    const CalibrationState state = StateOf(data.reals);
    for (const Spec& spec : Specs()) {
      for (const CalibrationMethod method :
           {CalibrationMethod::kMinMax, CalibrationMethod::kPercentile,
            CalibrationMethod::kMse}) {
        SCOPED_TRACE(data.name + " " + std::to_string(spec.bits) +
                     " bits, method " +
                     std::to_string(static_cast<int>(method)));
        const auto result = Compute(state, Ask(spec, method));
        const ErrorReport measured = Measured(data.reals, result.parameters);
        const ErrorReport& expected = result.expected_error;
        EXPECT_EQ(expected.element_count, measured.element_count);
        EXPECT_EQ(expected.encoded_bytes, measured.encoded_bytes);
        EXPECT_NEAR(expected.mean_squared_error / measured.mean_squared_error,
                    1, 0.02);
        EXPECT_NEAR(expected.mean_absolute_error / measured.mean_absolute_error,
                    1, 0.02);
        EXPECT_NEAR(expected.cosine_similarity, measured.cosine_similarity,
                    1e-3);
        // 2 % of a ratio are 0.09 dB.
        EXPECT_NEAR(expected.sqnr_db, measured.sqnr_db, 0.09);
      }
    }
  }
}

TEST_F(CalibrationParameters, BFloat16IsKnownExactly) {
  // Whole numbers to +-28 under a scale of 28 / 7 = 4: reals and
  // reconstructions are bfloat16 numbers, and so the starts of their buckets.
  std::vector<uint16_t> patterns;
  for (int i = 0; i < 57 * 20; ++i) {
    const auto real = static_cast<float>(i % 57 - 28);
    uint32_t bits;
    std::memcpy(&bits, &real, 4);
    patterns.push_back(static_cast<uint16_t>(bits >> 16));
  }
  const TensorView view = {
      .dtype = DataType::kBFloat16,
      .shape = {static_cast<int64_t>(patterns.size())},
      .reals = Pieces({reinterpret_cast<const std::byte*>(patterns.data()),
                       patterns.size() * 2})};
  CalibrationObserver observer(std::nullopt, {});
  ASSERT_EQ(observer.Observe(view, cancellation_), absl::OkStatus());
  const CalibrationState state = *observer.Finish();
  CalibrationQuestion question = Ask(SpecOf(Scheme::kSymmetric, 4));
  question.dtype = DataType::kBFloat16;
  const auto result = Compute(state, question);
  const auto plan =
      QuantizePlan::Static(result.parameters, view.dtype, view.shape, 1);
  const auto measured = Quantize(*plan, view.reals, true, execution(), {});
  ASSERT_TRUE(measured.ok());
  EXPECT_DOUBLE_EQ(result.expected_error.mean_squared_error,
                   measured->error->mean_squared_error);
  EXPECT_DOUBLE_EQ(result.expected_error.max_absolute_error,
                   measured->error->max_absolute_error);
  // Reals spread over their buckets, as for FLOAT32, are more than 1 % off.
  question.dtype = DataType::kFloat32;
  const double spread =
      Compute(state, question).expected_error.mean_squared_error;
  EXPECT_GT(std::fabs(spread / measured->error->mean_squared_error - 1), 0.01);
}

TEST_F(CalibrationParameters, MseIsTheBestRangeThereIs) {
  for (const Data& data : AllData()) {
    const CalibrationState state = StateOf(data.reals);
    const double min = state.summaries[0].min;
    const double max = state.summaries[0].max;
    for (const Spec& spec : Specs()) {
      SCOPED_TRACE(
          data.name + " " + std::to_string(spec.bits) + " bits, " +
          (spec.scheme == Scheme::kSymmetric ? "symmetric" : "asymmetric"));
      const double found =
          Measured(
              data.reals,
              Compute(state, Ask(spec, CalibrationMethod::kMse)).parameters)
              .mean_squared_error;
      EXPECT_LE(found, 1.005 * MeasuredForRange(data.reals, spec, min, max));
      double best = std::numeric_limits<double>::infinity();
      if (spec.scheme == Scheme::kSymmetric) {
        const double magnitude = std::max(-min, max);
        for (int i = 1; i <= 400; ++i) {
          const double end = magnitude * i / 400;
          best = std::min(best, MeasuredForRange(data.reals, spec, -end, end));
        }
      } else {
        for (int i = 0; i <= 40; ++i) {
          for (int j = 1; j <= 40; ++j) {
            best = std::min(best, MeasuredForRange(data.reals, spec,
                                                   std::min(min, 0.0) * i / 40,
                                                   max * j / 40));
          }
        }
      }
      // Integers are not what the model knows: docs/calibration.md.
      EXPECT_LE(found, (data.continuous ? 1.01 : 1.03) * best);
    }
  }
}

TEST_F(CalibrationParameters, MseKeepsWhatLosesNothing) {
  // Whole numbers that 8 bits hold, and reals that were quantized before.
  std::vector<float> integers;
  for (int i = 0; i < 25600; ++i) {
    integers.push_back(static_cast<float>(i % 256));
  }
  std::vector<float> quantized = ReadReals("glove_1000x100.npy");
  for (float& real : quantized) real = std::round(real / 0.03f) * 0.03f;
  for (const Scheme scheme : {Scheme::kAsymmetric, Scheme::kSymmetric}) {
    const bool symmetric = scheme == Scheme::kSymmetric;
    const std::vector<float>& reals = symmetric ? quantized : integers;
    const Spec spec = SpecOf(scheme, 8);
    const CalibrationState state = StateOf(reals);
    const Parameters whole = Compute(state, Ask(spec)).parameters;
    const Parameters found =
        Compute(state, Ask(spec, CalibrationMethod::kMse)).parameters;
    if (!symmetric) {
      EXPECT_EQ(Measured(reals, found).mean_squared_error, 0);
    }
    EXPECT_LE(Measured(reals, found).mean_squared_error,
              1.005 * Measured(reals, whole).mean_squared_error);
  }
}

TEST_F(CalibrationParameters, EntropyCutsTheTailOfHeavyTails) {
  const std::vector<float> reals = ReadReals("silero_vad_encoder3.npy");
  const CalibrationState state = StateOf(reals);
  const double largest =
      std::max(-state.summaries[0].min, state.summaries[0].max);
  double threshold_before = 0;
  for (const uint32_t bits : {3u, 4u, 8u}) {
    const Spec spec = SpecOf(Scheme::kSymmetric, bits);
    const auto result = Compute(state, Ask(spec, CalibrationMethod::kEntropy));
    const double threshold =
        result.parameters.scale[0] * ((1 << (bits - 1)) - 1);
    EXPECT_LT(threshold, 0.9 * largest) << bits;
    // More levels leave more room.
    EXPECT_GE(threshold, threshold_before * 0.999) << bits;
    threshold_before = threshold;
  }
  const std::vector<float> constant(100, 2.5f);
  const Spec eight = SpecOf(Scheme::kSymmetric, 8);
  EXPECT_FLOAT_EQ(
      static_cast<float>(
          Compute(StateOf(constant), Ask(eight, CalibrationMethod::kEntropy))
              .parameters.scale[0]),
      2.5f / 127);
}

TEST_F(CalibrationParameters, PairsOfAnAxisAreThoseOfItsIndices) {
  std::mt19937_64 random(5);
  std::normal_distribution<float> normal(0, 1);
  std::vector<float> reals(50 * 4);
  for (size_t i = 0; i < reals.size(); ++i) {
    reals[i] = normal(random) * static_cast<float>(1 + i % 4);
  }
  TensorView view = ViewOf(reals);
  view.shape = {50, 4};
  CalibrationObserver observer(1, {});
  ASSERT_EQ(observer.Observe(view, cancellation_), absl::OkStatus());
  const CalibrationState state = *observer.Finish();
  Spec spec;
  spec.granularity = {Granularity::Kind::kAxis, 1, 0};
  for (const auto method :
       {CalibrationMethod::kMinMax, CalibrationMethod::kMse}) {
    const auto all = Compute(state, Ask(spec, method));
    ASSERT_EQ(all.parameters.scale.size(), 4u);
    for (size_t i = 0; i < 4; ++i) {
      CalibrationState one = EmptyCalibrationState();
      one.summaries[0] = state.summaries[i];
      const auto alone = Compute(one, Ask({}, method));
      EXPECT_EQ(all.parameters.scale[i], alone.parameters.scale[0]);
      EXPECT_EQ(all.parameters.zero_point[i], alone.parameters.zero_point[0]);
    }
  }
  // Unset: the summaries are added up.
  EXPECT_TRUE(Compute(state, {}).parameters ==
              Compute(StateOf(reals), {}).parameters);
  CalibrationState with_empty = state;
  with_empty.summaries[2] = CalibrationSummary();
  with_empty.summaries[2].non_finite_count = 50;
  const auto partly = Compute(with_empty, Ask(spec));
  EXPECT_EQ(partly.parameters.scale[2], 1);
  EXPECT_EQ(partly.parameters.zero_point[2], 0);
}

TEST_F(CalibrationParameters, NamesTheFault) {
  const CalibrationState state = StateOf({1, 2, 3});
  const auto path = [&](const CalibrationQuestion& question) {
    return FieldPath(ComputeParameters(state, question, execution()).status());
  };
  CalibrationQuestion question;
  question.method = CalibrationMethod::kEntropy;
  EXPECT_EQ(path(question), "method");
  question.spec.scheme = Scheme::kSymmetric;
  question.spec.bits = 9;
  EXPECT_EQ(path(question), "method");
  question = {};
  question.method = CalibrationMethod::kPercentile;
  question.quantile = 1.5;
  EXPECT_EQ(path(question), "quantile");
  question = {};
  question.spec.granularity = {Granularity::Kind::kAxis, 0, 0};
  EXPECT_EQ(path(question), "spec.granularity.axis");
  question.spec.granularity = {Granularity::Kind::kGroup, 0, 4};
  EXPECT_EQ(path(question), "spec.granularity.group");
  question = {};
  question.spec.code_type = CodeType::kFloat16;
  EXPECT_EQ(path(question), "spec.code_type");
  question = {};
  question.spec.bits = 33;
  EXPECT_EQ(path(question), "spec.bits");
  EXPECT_EQ(
      FieldPath(
          ComputeParameters(EmptyCalibrationState(), {}, execution()).status()),
      "state.summaries");
  const auto ranges = [](std::vector<double> min, std::vector<double> max,
                         const CalibrationQuestion& asked) {
    return FieldPath(ComputeParameters(min, max, asked).status());
  };
  EXPECT_EQ(ranges({0}, {1e300}, {}), "ranges.max[0]");
  EXPECT_EQ(ranges({2}, {1}, {}), "ranges.min[0]");
  EXPECT_EQ(ranges({0, 0}, {1, 1}, {}), "ranges.min");
  EXPECT_EQ(ranges({0}, {}, {}), "ranges.max");
  question = {};
  question.method = CalibrationMethod::kMse;
  EXPECT_EQ(ranges({0}, {1}, question), "method");
}

}  // namespace
}  // namespace halfstep

// What a spec resolves to, and what is refused.
#include "core/spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "core/field_error.h"
#include "core/parameters.h"

namespace halfstep {
namespace {

using ::testing::StartsWith;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(Resolve, FillsInEveryDefault) {
  const Spec spec = *Resolve(Spec(), DataType::kFloat32, 2);
  EXPECT_EQ(spec.scheme, Scheme::kAsymmetric);
  EXPECT_EQ(spec.bits, 8u);
  EXPECT_EQ(spec.code_type, CodeType::kUint);
  EXPECT_EQ(spec.profile, Profile::kOnnx);
  EXPECT_EQ(spec.packing, Packing::kNone);
  EXPECT_EQ(spec.non_finite_policy, NonFinitePolicy::kReject);
  EXPECT_EQ(spec.numerics_version, kNumericsVersion);
  Spec symmetric;
  symmetric.scheme = Scheme::kSymmetric;
  EXPECT_EQ(Resolve(symmetric, DataType::kFloat32, 2)->code_type,
            CodeType::kInt);
  Spec half;
  half.code_type = CodeType::kFloat16;
  EXPECT_EQ(Resolve(half, DataType::kFloat32, 2)->bits, 16u);
  // Resolving twice changes nothing.
  EXPECT_EQ(*Resolve(spec, DataType::kFloat32, 2), spec);
}

TEST(Resolve, CountsNegativeAxesFromTheLast) {
  Spec spec;
  spec.granularity = {Granularity::Kind::kGroup, -1, 32};
  EXPECT_EQ(Resolve(spec, DataType::kFloat32, 3)->granularity.axis, 2);
}

TEST(Resolve, RoundsClampBoundsToTheArithmeticsType) {
  Spec spec;
  spec.clamp = ClampRange{-0.1, 0.1};
  EXPECT_EQ(*Resolve(spec, DataType::kFloat32, 1)->clamp->max,
            static_cast<double>(0.1f));
  EXPECT_EQ(*Resolve(spec, DataType::kFloat64, 1)->clamp->max, 0.1);
  spec.bits = 17;
  EXPECT_EQ(*Resolve(spec, DataType::kFloat32, 1)->clamp->max, 0.1);
}

struct Refusal {
  std::function<void(Spec&)> change;
  const char* message;
};

TEST(Resolve, NamesTheFieldAtFault) {
  const std::vector<Refusal> refusals = {
      {[](Spec& s) { s.bits = 33; }, "bits: 33; must be in [1, 32]"},
      {[](Spec& s) {
         s.scheme = Scheme::kSymmetric;
         s.bits = 1;
       },
       "bits: 1; must be in [2, 32]"},
      {[](Spec& s) {
         s.scheme = Scheme::kSymmetric;
         s.code_type = CodeType::kUint;
       },
       "code_type: UINT; must be INT"},
      {[](Spec& s) { s.narrow_range = true; }, "narrow_range: true"},
      {[](Spec& s) {
         s.code_type = CodeType::kInt;
         s.bits = 1;
         s.narrow_range = true;
       },
       "narrow_range: true"},
      {[](Spec& s) {
         s.granularity = {Granularity::Kind::kAxis, 2, 0};
       },
       "granularity.axis: 2; must be in [-2, 2) for a tensor of rank 2"},
      {[](Spec& s) {
         s.granularity = {Granularity::Kind::kAxis, -3, 0};
       },
       "granularity.axis: -3"},
      {[](Spec& s) {
         s.granularity = {Granularity::Kind::kGroup, 5, 4};
       },
       "granularity.group.axis: 5"},
      {[](Spec& s) {
         s.granularity = {Granularity::Kind::kGroup, 0, 0};
       },
       "granularity.group.size: 0; must be 1 or more"},
      {[](Spec& s) { s.clamp = ClampRange(); }, "clamp: empty"},
      {[](Spec& s) {
         s.clamp = ClampRange{2, 1};
       },
       "clamp: min 2 is above max 1"},
      {[](Spec& s) {
         s.clamp = ClampRange{kInfinity * 0, std::nullopt};
       },
       "clamp.min: nan; must be finite"},
      {[](Spec& s) {
         s.clamp = ClampRange{std::nullopt, 1e300};
       },
       "clamp.max: 1e+300; must be finite in float32"},
      {[](Spec& s) { s.numerics_version = 2; }, "numerics_version: 2"},
      {[](Spec& s) {
         s.code_type = CodeType::kFloat16;
         s.bits = 8;
       },
       "bits: 8; must be 0 or 16"},
      {[](Spec& s) {
         s.code_type = CodeType::kBFloat16;
         s.scheme = Scheme::kSymmetric;
       },
       "scheme: SYMMETRIC"},
      {[](Spec& s) {
         s.code_type = CodeType::kFloat16;
         s.narrow_range = true;
       },
       "narrow_range: true"},
      {[](Spec& s) {
         s.code_type = CodeType::kFloat16;
         s.granularity = {Granularity::Kind::kAxis, 0, 0};
       },
       "granularity: set"},
  };
  for (const Refusal& refusal : refusals) {
    SCOPED_TRACE(refusal.message);
    Spec spec;
    refusal.change(spec);
    const absl::Status status = Resolve(spec, DataType::kFloat32, 2).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), StartsWith(refusal.message));
    const std::string message(status.message());
    EXPECT_EQ(FieldPath(status), message.substr(0, message.find(':')));
  }
}

TEST(UnderField, PutsThePathInFront) {
  const absl::Status status =
      UnderField("parameters", UnderField("spec", FieldError("bits", "0")));
  EXPECT_EQ(status.message(), "parameters.spec.bits: 0");
  EXPECT_EQ(FieldPath(status), "parameters.spec.bits");
  EXPECT_TRUE(UnderField("spec", absl::OkStatus()).ok());
}

TEST(CodeBytes, FollowThePacking) {
  Spec spec = *Resolve(Spec(), DataType::kFloat32, 1);
  EXPECT_EQ(CodeBytes(spec, 9), 9u);
  spec.bits = 12;
  EXPECT_EQ(CodeBytes(spec, 9), 18u);
  spec.bits = 17;
  EXPECT_EQ(CodeBytes(spec, 9), 36u);
  spec.packing = Packing::kDense;
  EXPECT_EQ(CodeBytes(spec, 9), 20u);  // 153 bits
}

TEST(ResolveParameters, RoundsScales) {
  Parameters given;
  given.scale = {0.1};
  given.zero_point = {3};
  EXPECT_EQ(ResolveParameters(given, DataType::kFloat32, {4}, 10)->scale[0],
            static_cast<double>(0.1f));
  EXPECT_EQ(ResolveParameters(given, DataType::kFloat64, {4}, 10)->scale[0],
            0.1);
}

TEST(ResolveParameters, NamesTheFieldAtFault) {
  Parameters per_axis;
  per_axis.spec.granularity = {Granularity::Kind::kAxis, 0, 0};
  per_axis.scale = {1, 1};
  per_axis.zero_point = {0, 0};
  const auto with = [&](std::function<void(Parameters&)> change) {
    Parameters given = per_axis;
    change(given);
    return std::string(
        ResolveParameters(given, DataType::kFloat32, {2, 3}, 1000)
            .status()
            .message());
  };
  EXPECT_EQ(with([](Parameters&) {}), "");
  for (const double scale : {0.0, -1.0, kInfinity, 1e39, 1e-39,
                             std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_THAT(with([&](Parameters& p) { p.scale[1] = scale; }),
                StartsWith("scale[1]: "));
  }
  EXPECT_THAT(with([](Parameters& p) { p.scale.push_back(1); }),
              StartsWith("scale: 3 given; must be 2"));
  EXPECT_THAT(with([](Parameters& p) { p.zero_point.clear(); }),
              StartsWith("zero_point: 0 given; must be 2"));
  EXPECT_THAT(with([](Parameters& p) { p.zero_point[0] = 256; }),
              StartsWith("zero_point[0]: 256; must be in [0, 255]"));
  EXPECT_THAT(with([](Parameters& p) { p.spec.scheme = Scheme::kSymmetric; }),
              StartsWith("zero_point: 2 given; must be empty"));
  EXPECT_THAT(with([](Parameters& p) { p.spec.bits = 40; }),
              StartsWith("spec.bits: 40"));
  // Only the notebook's may lie outside the codes.
  EXPECT_EQ(with([](Parameters& p) {
              p.spec.profile = Profile::kNotebook;
              p.zero_point[0] = -43520;
            }),
            "");
}

TEST(ResolveParameters, BoundsPairsBeforeAnythingElse) {
  Parameters given;
  given.spec.granularity = {Granularity::Kind::kAxis, 0, 0};
  const absl::Status status =
      ResolveParameters(given, DataType::kFloat32, {int64_t{1} << 40, 0}, 1000)
          .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(FieldPath(status), "spec.granularity");
}

}  // namespace
}  // namespace halfstep

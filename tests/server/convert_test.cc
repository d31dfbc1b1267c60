#include "server/api/convert.h"

#include <gtest/gtest.h>

#include "core/field_error.h"

namespace halfstep {
namespace {

TEST(Convert, SpecThereAndBack) {
  Spec spec;
  spec.scheme = Scheme::kSymmetric;
  spec.bits = 5;
  spec.code_type = CodeType::kInt;
  spec.profile = Profile::kPytorch;
  spec.granularity = {
      .kind = Granularity::Kind::kGroup, .axis = -1, .group_size = 1 << 20};
  spec.packing = Packing::kDense;
  spec.non_finite_policy = NonFinitePolicy::kSaturate;
  spec.clamp = ClampRange{.min = -1.5, .max = std::nullopt};
  spec.narrow_range = true;
  spec.numerics_version = 1;
  v1::QuantizationSpec message;
  ToProto(spec, message);
  EXPECT_EQ(message.scheme(), v1::SCHEME_SYMMETRIC);
  EXPECT_EQ(message.bits(), 5u);
  EXPECT_EQ(message.profile(), v1::PROFILE_PYTORCH);
  EXPECT_EQ(message.granularity().group().size(), 1 << 20);
  EXPECT_FALSE(message.clamp().has_max());
  const absl::StatusOr<Spec> back = FromProto(message);
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(*back, spec);

  spec.granularity = {.kind = Granularity::Kind::kAxis, .axis = 3};
  spec.clamp.reset();
  v1::QuantizationSpec per_axis;
  ToProto(spec, per_axis);
  EXPECT_EQ(per_axis.granularity().axis(), 3);
  EXPECT_EQ(*FromProto(per_axis), spec);
}

TEST(Convert, EmptySpecLeavesEverythingToCore) {
  EXPECT_EQ(*FromProto(v1::QuantizationSpec()), Spec());
  // Present but empty: that is for core to refuse.
  v1::QuantizationSpec message;
  message.mutable_clamp();
  EXPECT_TRUE(FromProto(message)->clamp.has_value());
}

TEST(Convert, RefusesUnknownEnumValues) {
  v1::QuantizationSpec message;
  message.set_profile(static_cast<v1::Profile>(4));
  const absl::Status status = FromProto(message).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "profile: 4; must be a value of Profile, 0 to 3");
  EXPECT_EQ(FieldPath(status), "profile");

  v1::QuantizationParameters parameters;
  parameters.mutable_spec()->set_packing(static_cast<v1::Packing>(-1));
  EXPECT_EQ(FieldPath(FromProto(parameters, 1).status()), "spec.packing");
  EXPECT_EQ(FieldPath(FromProto(static_cast<v1::DataType>(5)).status()),
            "dtype");
  EXPECT_EQ(FieldPath(FromProto(v1::DATA_TYPE_UNSPECIFIED).status()), "dtype");
}

TEST(Convert, EveryCalibrationMethod) {
  EXPECT_EQ(*FromProto(v1::CALIBRATION_METHOD_UNSPECIFIED),
            CalibrationMethod::kMinMax);
  EXPECT_EQ(*FromProto(v1::CALIBRATION_METHOD_MIN_MAX),
            CalibrationMethod::kMinMax);
  EXPECT_EQ(*FromProto(v1::CALIBRATION_METHOD_PERCENTILE),
            CalibrationMethod::kPercentile);
  EXPECT_EQ(*FromProto(v1::CALIBRATION_METHOD_MSE), CalibrationMethod::kMse);
  EXPECT_EQ(*FromProto(v1::CALIBRATION_METHOD_ENTROPY),
            CalibrationMethod::kEntropy);
  const absl::Status status =
      FromProto(static_cast<v1::CalibrationMethod>(5)).status();
  EXPECT_EQ(status.message(),
            "method: 5; must be a value of CalibrationMethod, 0 to 4");
  EXPECT_EQ(FieldPath(status), "method");
}

TEST(Convert, EveryDataTypeThereAndBack) {
  for (const DataType dtype : {DataType::kFloat32, DataType::kFloat64,
                               DataType::kFloat16, DataType::kBFloat16}) {
    EXPECT_EQ(v1::DataType_Name(ToProto(dtype)),
              "DATA_TYPE_" + std::string(Name(dtype)));
    EXPECT_EQ(*FromProto(ToProto(dtype)), dtype);
  }
}

TEST(Convert, ParametersThereAndBack) {
  Parameters parameters;
  parameters.scale = {0.5, 0.25};
  parameters.zero_point = {-3, 7};
  v1::QuantizationParameters message;
  ToProto(parameters, message);
  EXPECT_EQ(*FromProto(message, 2), parameters);
  const absl::Status status = FromProto(message, 1).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), "scale: 2 pairs; must be at most 1");
}

TEST(Convert, Reports) {
  v1::ErrorReport report;
  ToProto(ErrorReport{.element_count = 1,
                      .mean_squared_error = 2,
                      .mean_absolute_error = 3,
                      .max_absolute_error = 4,
                      .max_absolute_error_index = 5,
                      .sqnr_db = 6,
                      .cosine_similarity = 7,
                      .encoded_bytes = 8},
          report);
  EXPECT_EQ(report.element_count(), 1u);
  EXPECT_EQ(report.mean_squared_error(), 2);
  EXPECT_EQ(report.mean_absolute_error(), 3);
  EXPECT_EQ(report.max_absolute_error(), 4);
  EXPECT_EQ(report.max_absolute_error_index(), 5u);
  EXPECT_EQ(report.sqnr_db(), 6);
  EXPECT_EQ(report.cosine_similarity(), 7);
  EXPECT_EQ(report.encoded_bytes(), 8u);
  v1::Cuts cuts;
  ToProto(Cuts{.saturated_count = 1, .non_finite_count = 2, .clamped_count = 3},
          cuts);
  EXPECT_EQ(cuts.saturated_count(), 1u);
  EXPECT_EQ(cuts.non_finite_count(), 2u);
  EXPECT_EQ(cuts.clamped_count(), 3u);
}

}  // namespace
}  // namespace halfstep

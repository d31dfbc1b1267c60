#include "server/api/convert.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/generated_enum_reflection.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/field_error.h"

namespace halfstep {
namespace {

// Core's enums have the API's numbers, except that a core DataType or
// CalibrationMethod is never unspecified.
static_assert(static_cast<int>(Scheme::kSymmetric) == v1::SCHEME_SYMMETRIC);
static_assert(static_cast<int>(Scheme::kAsymmetric) == v1::SCHEME_ASYMMETRIC);
static_assert(static_cast<int>(CodeType::kUint) == v1::CODE_TYPE_UINT);
static_assert(static_cast<int>(CodeType::kInt) == v1::CODE_TYPE_INT);
static_assert(static_cast<int>(CodeType::kFloat16) == v1::CODE_TYPE_FLOAT16);
static_assert(static_cast<int>(CodeType::kBFloat16) == v1::CODE_TYPE_BFLOAT16);
static_assert(static_cast<int>(Profile::kOnnx) == v1::PROFILE_ONNX);
static_assert(static_cast<int>(Profile::kPytorch) == v1::PROFILE_PYTORCH);
static_assert(static_cast<int>(Profile::kNotebook) == v1::PROFILE_NOTEBOOK);
static_assert(static_cast<int>(Packing::kNone) == v1::PACKING_NONE);
static_assert(static_cast<int>(Packing::kDense) == v1::PACKING_DENSE);
static_assert(static_cast<int>(NonFinitePolicy::kReject) ==
              v1::NON_FINITE_POLICY_REJECT);
static_assert(static_cast<int>(NonFinitePolicy::kSaturate) ==
              v1::NON_FINITE_POLICY_SATURATE);
static_assert(static_cast<int>(DataType::kFloat32) + 1 ==
              v1::DATA_TYPE_FLOAT32);
static_assert(static_cast<int>(DataType::kFloat64) + 1 ==
              v1::DATA_TYPE_FLOAT64);
static_assert(static_cast<int>(DataType::kFloat16) + 1 ==
              v1::DATA_TYPE_FLOAT16);
static_assert(static_cast<int>(DataType::kBFloat16) + 1 ==
              v1::DATA_TYPE_BFLOAT16);
static_assert(static_cast<int>(CalibrationMethod::kMinMax) + 1 ==
              v1::CALIBRATION_METHOD_MIN_MAX);
static_assert(static_cast<int>(CalibrationMethod::kPercentile) + 1 ==
              v1::CALIBRATION_METHOD_PERCENTILE);
static_assert(static_cast<int>(CalibrationMethod::kMse) + 1 ==
              v1::CALIBRATION_METHOD_MSE);
static_assert(static_cast<int>(CalibrationMethod::kEntropy) + 1 ==
              v1::CALIBRATION_METHOD_ENTROPY);

// OK if the API has a name for `value`, which protobuf passes through
// unchecked.
template <typename ProtoEnum>
absl::Status CheckEnum(absl::string_view path, ProtoEnum value,
                       bool is_valid(int)) {
  const int number = static_cast<int>(value);
  if (is_valid(number)) return absl::OkStatus();
  const auto* type = google::protobuf::GetEnumDescriptor<ProtoEnum>();
  const auto* last = type->value(type->value_count() - 1);
  return FieldError(path,
                    absl::StrCat(number, "; must be a value of ", type->name(),
                                 ", 0 to ", last->number()));
}

absl::Status CheckEnums(const v1::QuantizationSpec& spec) {
  for (const absl::Status& status :
       {CheckEnum("scheme", spec.scheme(), v1::Scheme_IsValid),
        CheckEnum("code_type", spec.code_type(), v1::CodeType_IsValid),
        CheckEnum("profile", spec.profile(), v1::Profile_IsValid),
        CheckEnum("packing", spec.packing(), v1::Packing_IsValid),
        CheckEnum("non_finite_policy", spec.non_finite_policy(),
                  v1::NonFinitePolicy_IsValid)}) {
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

Granularity FromProto(const v1::Granularity& granularity) {
  switch (granularity.kind_case()) {
    case v1::Granularity::kAxis:
      return {.kind = Granularity::Kind::kAxis, .axis = granularity.axis()};
    case v1::Granularity::kGroup:
      return {.kind = Granularity::Kind::kGroup,
              .axis = granularity.group().axis(),
              .group_size = granularity.group().size()};
    case v1::Granularity::KIND_NOT_SET:
      break;
  }
  return {};
}

ClampRange FromProto(const v1::ClampRange& clamp) {
  ClampRange range;
  if (clamp.has_min()) range.min = clamp.min();
  if (clamp.has_max()) range.max = clamp.max();
  return range;
}

absl::Status CheckPairs(absl::string_view path, int count, uint64_t pairs_max) {
  if (static_cast<uint64_t>(count) <= pairs_max) return absl::OkStatus();
  return LimitError(path,
                    absl::StrCat(count, " pairs; must be at most ", pairs_max));
}

}  // namespace

absl::StatusOr<DataType> FromProto(v1::DataType dtype) {
  if (dtype == v1::DATA_TYPE_UNSPECIFIED) {
    return FieldError(
        "dtype", "unspecified; must be FLOAT32, FLOAT64, FLOAT16 or BFLOAT16");
  }
  if (absl::Status status = CheckEnum("dtype", dtype, v1::DataType_IsValid);
      !status.ok())
    return status;
  return static_cast<DataType>(static_cast<int>(dtype) - 1);
}

v1::DataType ToProto(DataType dtype) {
  return static_cast<v1::DataType>(static_cast<int>(dtype) + 1);
}

absl::StatusOr<Spec> FromProto(const v1::QuantizationSpec& spec) {
  if (absl::Status status = CheckEnums(spec); !status.ok()) return status;
  Spec result = {
      .scheme = static_cast<Scheme>(spec.scheme()),
      .bits = spec.bits(),
      .code_type = static_cast<CodeType>(spec.code_type()),
      .profile = static_cast<Profile>(spec.profile()),
      .granularity = FromProto(spec.granularity()),
      .packing = static_cast<Packing>(spec.packing()),
      .non_finite_policy =
          static_cast<NonFinitePolicy>(spec.non_finite_policy()),
      .clamp = std::nullopt,
      .narrow_range = spec.narrow_range(),
      .numerics_version = spec.numerics_version(),
  };
  if (spec.has_clamp()) result.clamp = FromProto(spec.clamp());
  return result;
}

absl::StatusOr<CalibrationMethod> FromProto(v1::CalibrationMethod method) {
  if (method == v1::CALIBRATION_METHOD_UNSPECIFIED) {
    return CalibrationMethod::kMinMax;
  }
  if (absl::Status status =
          CheckEnum("method", method, v1::CalibrationMethod_IsValid);
      !status.ok()) {
    return status;
  }
  return static_cast<CalibrationMethod>(static_cast<int>(method) - 1);
}

void ToProto(const Spec& spec, v1::QuantizationSpec& out) {
  out.set_scheme(static_cast<v1::Scheme>(spec.scheme));
  out.set_bits(spec.bits);
  out.set_code_type(static_cast<v1::CodeType>(spec.code_type));
  out.set_profile(static_cast<v1::Profile>(spec.profile));
  switch (spec.granularity.kind) {
    case Granularity::Kind::kTensor:
      break;
    case Granularity::Kind::kAxis:
      out.mutable_granularity()->set_axis(spec.granularity.axis);
      break;
    case Granularity::Kind::kGroup:
      out.mutable_granularity()->mutable_group()->set_axis(
          spec.granularity.axis);
      out.mutable_granularity()->mutable_group()->set_size(
          spec.granularity.group_size);
      break;
  }
  out.set_packing(static_cast<v1::Packing>(spec.packing));
  out.set_non_finite_policy(
      static_cast<v1::NonFinitePolicy>(spec.non_finite_policy));
  if (spec.clamp.has_value()) {
    v1::ClampRange& clamp = *out.mutable_clamp();
    if (spec.clamp->min.has_value()) clamp.set_min(*spec.clamp->min);
    if (spec.clamp->max.has_value()) clamp.set_max(*spec.clamp->max);
  }
  out.set_narrow_range(spec.narrow_range);
  out.set_numerics_version(spec.numerics_version);
}

absl::StatusOr<Parameters> FromProto(
    const v1::QuantizationParameters& parameters, uint64_t pairs_max) {
  for (const absl::Status& status :
       {CheckPairs("scale", parameters.scale_size(), pairs_max),
        CheckPairs("zero_point", parameters.zero_point_size(), pairs_max)}) {
    if (!status.ok()) return status;
  }
  const absl::StatusOr<Spec> spec = FromProto(parameters.spec());
  if (!spec.ok()) return UnderField("spec", spec.status());
  return Parameters{
      .spec = *spec,
      .scale = {parameters.scale().begin(), parameters.scale().end()},
      .zero_point = {parameters.zero_point().begin(),
                     parameters.zero_point().end()},
  };
}

void ToProto(const Parameters& parameters, v1::QuantizationParameters& out) {
  ToProto(parameters.spec, *out.mutable_spec());
  out.mutable_scale()->Add(parameters.scale.begin(), parameters.scale.end());
  out.mutable_zero_point()->Add(parameters.zero_point.begin(),
                                parameters.zero_point.end());
}

void ToProto(const ErrorReport& report, v1::ErrorReport& out) {
  out.set_element_count(report.element_count);
  out.set_mean_squared_error(report.mean_squared_error);
  out.set_mean_absolute_error(report.mean_absolute_error);
  out.set_max_absolute_error(report.max_absolute_error);
  out.set_max_absolute_error_index(report.max_absolute_error_index);
  out.set_sqnr_db(report.sqnr_db);
  out.set_cosine_similarity(report.cosine_similarity);
  out.set_encoded_bytes(report.encoded_bytes);
}

void ToProto(const Cuts& cuts, v1::Cuts& out) {
  out.set_saturated_count(cuts.saturated_count);
  out.set_non_finite_count(cuts.non_finite_count);
  out.set_clamped_count(cuts.clamped_count);
}

}  // namespace halfstep

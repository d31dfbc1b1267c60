#include "core/spec.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/field_error.h"
#include "core/kernels/dense.h"

namespace halfstep {
namespace {

absl::Status ResolveFloatCodes(Spec& spec) {
  if (spec.scheme == Scheme::kSymmetric) {
    return FieldError("scheme",
                      "SYMMETRIC; must not be set for floating-point codes, "
                      "which have no zero point");
  }
  spec.scheme = Scheme::kAsymmetric;
  if (spec.bits != 0 && spec.bits != 16) {
    return FieldError(
        "bits",
        absl::StrCat(spec.bits, "; must be 0 or 16 for floating-point codes"));
  }
  spec.bits = 16;
  if (spec.granularity.kind != Granularity::Kind::kTensor) {
    return FieldError(
        "granularity",
        "set; must not be for floating-point codes, which have no scale");
  }
  if (spec.narrow_range) {
    return FieldError("narrow_range",
                      "true; must be false for floating-point codes");
  }
  return absl::OkStatus();
}

absl::Status ResolveIntegerCodes(Spec& spec) {
  if (spec.scheme == Scheme::kUnspecified) spec.scheme = Scheme::kAsymmetric;
  const bool symmetric = spec.scheme == Scheme::kSymmetric;
  if (spec.code_type == CodeType::kUnspecified) {
    spec.code_type = symmetric ? CodeType::kInt : CodeType::kUint;
  }
  if (symmetric && spec.code_type != CodeType::kInt) {
    return FieldError("code_type",
                      "UINT; must be INT if the scheme is SYMMETRIC");
  }
  if (spec.bits == 0) spec.bits = 8;
  const uint32_t bits_min = symmetric ? 2 : 1;
  if (spec.bits < bits_min || spec.bits > 32) {
    return FieldError(
        "bits", absl::StrCat(spec.bits, "; must be in [", bits_min, ", 32]",
                             symmetric ? " if the scheme is SYMMETRIC" : ""));
  }
  if (spec.narrow_range &&
      (spec.code_type != CodeType::kInt || spec.bits < 2)) {
    return FieldError(
        "narrow_range",
        "true; must be false unless codes are INT of 2 bits or more");
  }
  return absl::OkStatus();
}

absl::Status ResolveGranularity(Granularity& granularity, size_t rank) {
  if (granularity.kind == Granularity::Kind::kTensor) {
    granularity = Granularity();
    return absl::OkStatus();
  }
  const bool group = granularity.kind == Granularity::Kind::kGroup;
  const auto dimensions = static_cast<int64_t>(rank);
  if (granularity.axis < -dimensions || granularity.axis >= dimensions) {
    return FieldError(
        group ? "granularity.group.axis" : "granularity.axis",
        absl::StrCat(granularity.axis, "; must be in [", -dimensions, ", ",
                     dimensions, ") for a tensor of rank ", rank));
  }
  if (granularity.axis < 0) {
    granularity.axis += static_cast<int32_t>(dimensions);
  }
  if (!group) {
    granularity.group_size = 0;
  } else if (granularity.group_size < 1) {
    return FieldError(
        "granularity.group.size",
        absl::StrCat(granularity.group_size, "; must be 1 or more"));
  }
  return absl::OkStatus();
}

// Rounds one bound to the arithmetic's type.
absl::Status ResolveBound(absl::string_view field, bool is_double,
                          std::optional<double>& bound) {
  if (!bound.has_value()) return absl::OkStatus();
  const double given = *bound;
  // A conversion past float32's range gives infinity (IEEE 754).
  if (!is_double) bound = static_cast<double>(static_cast<float>(given));
  if (!std::isfinite(*bound)) {
    return FieldError(field, absl::StrCat(given, "; must be finite in ",
                                          is_double ? "float64" : "float32",
                                          ", the arithmetic's type"));
  }
  return absl::OkStatus();
}

absl::Status ResolveClamp(ClampRange& clamp, bool is_double) {
  if (!clamp.min.has_value() && !clamp.max.has_value()) {
    return FieldError("clamp", "empty; must have min, max or both");
  }
  if (clamp.min.has_value() && clamp.max.has_value() &&
      *clamp.min > *clamp.max) {
    return FieldError(
        "clamp", absl::StrCat("min ", *clamp.min, " is above max ", *clamp.max,
                              "; must not be"));
  }
  absl::Status status = ResolveBound("clamp.min", is_double, clamp.min);
  if (status.ok()) status = ResolveBound("clamp.max", is_double, clamp.max);
  return status;
}

}  // namespace

absl::StatusOr<Spec> Resolve(const Spec& spec, DataType dtype, size_t rank) {
  Spec resolved = spec;
  if (resolved.numerics_version == 0)
    resolved.numerics_version = kNumericsVersion;
  if (resolved.numerics_version != kNumericsVersion) {
    return FieldError("numerics_version",
                      absl::StrCat(resolved.numerics_version, "; must be 0 or ",
                                   kNumericsVersion,
                                   ", the version that this server computes"));
  }
  absl::Status status = HasFloatCodes(resolved) ? ResolveFloatCodes(resolved)
                                                : ResolveIntegerCodes(resolved);
  if (!status.ok()) return status;
  if (resolved.profile == Profile::kUnspecified)
    resolved.profile = Profile::kOnnx;
  if (resolved.packing == Packing::kUnspecified)
    resolved.packing = Packing::kNone;
  if (resolved.non_finite_policy == NonFinitePolicy::kUnspecified) {
    resolved.non_finite_policy = NonFinitePolicy::kReject;
  }
  status = ResolveGranularity(resolved.granularity, rank);
  if (!status.ok()) return status;
  if (resolved.clamp.has_value()) {
    status = ResolveClamp(*resolved.clamp, IsDoubleArithmetic(resolved, dtype));
    if (!status.ok()) return status;
  }
  return resolved;
}

bool HasFloatCodes(const Spec& spec) {
  return spec.code_type == CodeType::kFloat16 ||
         spec.code_type == CodeType::kBFloat16;
}

bool IsDoubleArithmetic(const Spec& spec, DataType dtype) {
  return dtype == DataType::kFloat64 || spec.bits > 16;
}

CodeRange CodeRangeOf(const Spec& spec) {
  if (spec.code_type == CodeType::kUint) {
    return {0, (int64_t{1} << spec.bits) - 1};
  }
  const int64_t half = int64_t{1} << (spec.bits - 1);
  return {spec.narrow_range ? 1 - half : -half, half - 1};
}

size_t CodeByteSize(const Spec& spec) {
  if (spec.bits <= 8) return 1;
  return spec.bits <= 16 ? 2 : 4;
}

uint64_t CodeBytes(const Spec& spec, int64_t count) {
  const auto codes = static_cast<uint64_t>(count);
  return spec.packing == Packing::kDense ? kernels::DenseBytes(codes, spec.bits)
                                         : codes * CodeByteSize(spec);
}

}  // namespace halfstep

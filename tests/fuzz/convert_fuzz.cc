// Specs and parameters, from any bytes that parse as the message: a refusal
// that names a field, or what the message says, which comes back as the same
// message; and, once it is resolved for a tensor, nothing out of its range.
//
// The first byte is the dtype, the second chooses the rank, as many bytes as
// that are the dimensions; the rest is a QuantizationParameters.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "core/field_error.h"
#include "core/parameters.h"
#include "core/spec.h"
#include "core/tensor.h"
#include "halfstep/v1/quantization.pb.h"
#include "server/api/convert.h"

namespace {

using halfstep::Parameters;
using halfstep::Spec;

// Few enough that a fuzzer gets past it.
constexpr uint64_t kPairsMax = 16;

void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "convert: %s\n", what);
  std::abort();
}

void RequireRefusal(const absl::Status& status) {
  Require(status.code() == absl::StatusCode::kInvalidArgument ||
              status.code() == absl::StatusCode::kResourceExhausted,
          "refused with a code that is no fault of the caller");
  const auto path = halfstep::FieldPath(status);
  Require(path.has_value() && !path->empty(), "refused without a field");
  Require(std::string(status.message()).rfind(*path + ": ", 0) == 0,
          "a message that does not start with its field");
}

// Bytes, so that NaN equals itself.
std::string BytesOf(const Parameters& parameters) {
  halfstep::v1::QuantizationParameters message;
  ToProto(parameters, message);
  return message.SerializeAsString();
}

// Without what says nothing: unknown fields and a granularity of no kind.
std::string Normal(halfstep::v1::QuantizationParameters message) {
  message.DiscardUnknownFields();
  halfstep::v1::QuantizationSpec& spec = *message.mutable_spec();
  if (spec.granularity().kind_case() ==
      halfstep::v1::Granularity::KIND_NOT_SET) {
    spec.clear_granularity();
  }
  return message.SerializeAsString();
}

void RequireResolved(const Spec& spec, size_t rank) {
  Require(
      spec.scheme != halfstep::Scheme::kUnspecified &&
          spec.code_type != halfstep::CodeType::kUnspecified &&
          spec.profile != halfstep::Profile::kUnspecified &&
          spec.packing != halfstep::Packing::kUnspecified &&
          spec.non_finite_policy != halfstep::NonFinitePolicy::kUnspecified &&
          spec.numerics_version == halfstep::kNumericsVersion,
      "resolved, but something is unspecified");
  Require(spec.bits >= 1 && spec.bits <= 32, "resolved to bits of no code");
  if (spec.granularity.kind != halfstep::Granularity::Kind::kTensor) {
    Require(spec.granularity.axis >= 0 &&
                static_cast<size_t>(spec.granularity.axis) < rank,
            "resolved to an axis that the tensor has not");
  }
  if (spec.granularity.kind == halfstep::Granularity::Kind::kGroup) {
    Require(spec.granularity.group_size >= 1, "resolved to empty groups");
  }
  if (spec.clamp.has_value()) {
    Require(!std::isnan(spec.clamp->min.value_or(0)) &&
                !std::isnan(spec.clamp->max.value_or(0)) &&
                spec.clamp->min.value_or(-INFINITY) <=
                    spec.clamp->max.value_or(INFINITY),
            "resolved to a clamp that no real satisfies");
  }
  if (!HasFloatCodes(spec)) {
    const halfstep::CodeRange range = CodeRangeOf(spec);
    Require(range.quant_min < range.quant_max, "resolved to no range of codes");
  }
}

void RequireResolved(const Parameters& parameters) {
  for (const double scale : parameters.scale) {
    Require(std::isnormal(scale) && scale > 0, "resolved to no scale");
  }
  if (parameters.spec.scheme == halfstep::Scheme::kSymmetric) {
    Require(parameters.zero_point.empty(), "symmetric, with zero points");
    return;
  }
  Require(parameters.zero_point.size() == parameters.scale.size(),
          "resolved to half pairs");
  // The notebook's zero points may lie anywhere.
  if (HasFloatCodes(parameters.spec) ||
      parameters.spec.profile == halfstep::Profile::kNotebook) {
    return;
  }
  const halfstep::CodeRange range = CodeRangeOf(parameters.spec);
  for (const int32_t zero_point : parameters.zero_point) {
    Require(zero_point >= range.quant_min && zero_point <= range.quant_max,
            "resolved to a zero point that is no code");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kHeaderBytes = 2;
  if (size < kHeaderBytes) return 0;
  const auto dtype =
      halfstep::FromProto(static_cast<halfstep::v1::DataType>(data[0]));
  if (!dtype.ok()) {
    RequireRefusal(dtype.status());
    return 0;
  }
  const size_t rank =
      std::min<size_t>(data[1] % (halfstep::kRankMax + 1), size - kHeaderBytes);
  const uint8_t* const dimensions = data + kHeaderBytes;
  const halfstep::Shape shape(dimensions, dimensions + rank);
  halfstep::v1::QuantizationParameters message;
  if (!message.ParseFromArray(dimensions + rank,
                              static_cast<int>(size - kHeaderBytes - rank))) {
    return 0;
  }
  const auto given = halfstep::FromProto(message, kPairsMax);
  if (!given.ok()) {
    RequireRefusal(given.status());
    return 0;
  }
  Require(BytesOf(*given) == Normal(message), "another message comes back");

  const auto spec = Resolve(given->spec, *dtype, rank);
  if (spec.ok()) {
    RequireResolved(*spec, rank);
    const auto again = Resolve(*spec, *dtype, rank);
    Require(again.ok() && *again == *spec, "resolved twice, it differs");
  } else {
    RequireRefusal(spec.status());
  }
  const auto parameters = ResolveParameters(*given, *dtype, shape, kPairsMax);
  if (!parameters.ok()) {
    RequireRefusal(parameters.status());
    return 0;
  }
  Require(spec.ok() && parameters->spec == *spec,
          "parameters of a spec that is refused, or of another");
  RequireResolved(*parameters);
  const auto again = ResolveParameters(*parameters, *dtype, shape, kPairsMax);
  Require(again.ok() && *again == *parameters, "resolved twice, they differ");
  return 0;
}

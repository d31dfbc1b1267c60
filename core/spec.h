// How to quantize: everything a caller can choose.
#ifndef HALFSTEP_CORE_SPEC_H_
#define HALFSTEP_CORE_SPEC_H_

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "core/data_type.h"

namespace halfstep {

// The version of docs/numerics.md that this library computes.
inline constexpr uint32_t kNumericsVersion = 1;

enum class Scheme : uint8_t { kUnspecified, kAsymmetric, kSymmetric };
enum class CodeType : uint8_t {
  kUnspecified,
  kUint,
  kInt,
  kFloat16,
  kBFloat16
};
enum class Profile : uint8_t { kUnspecified, kOnnx, kPytorch, kNotebook };
enum class Packing : uint8_t { kUnspecified, kNone, kDense };
enum class NonFinitePolicy : uint8_t { kUnspecified, kReject, kSaturate };

// Which elements share one scale and zero point.
struct Granularity {
  enum class Kind : uint8_t { kTensor, kAxis, kGroup };
  Kind kind = Kind::kTensor;
  int32_t axis = 0;        // negative counts from the last, until resolved
  int64_t group_size = 0;  // elements per pair, for kGroup

  bool operator==(const Granularity&) const = default;
};

// Reals below min become min, reals above max become max.
struct ClampRange {
  std::optional<double> min;
  std::optional<double> max;

  bool operator==(const ClampRange&) const = default;
};

struct Spec {
  Scheme scheme = Scheme::kUnspecified;
  uint32_t bits = 0;  // 1 to 32; 0 means 8 (16 for floating-point codes)
  CodeType code_type = CodeType::kUnspecified;
  Profile profile = Profile::kUnspecified;
  Granularity granularity;
  Packing packing = Packing::kUnspecified;
  NonFinitePolicy non_finite_policy = NonFinitePolicy::kUnspecified;
  std::optional<ClampRange> clamp;
  bool narrow_range = false;
  uint32_t numerics_version = 0;  // 0 means kNumericsVersion

  bool operator==(const Spec&) const = default;
};

// `spec` for a tensor of `rank` dimensions of `dtype`, with nothing left
// unspecified: defaults filled in, the axis counted from the first, clamp
// bounds rounded to the arithmetic's type.
//
// INVALID_ARGUMENT, naming the field relative to the spec, if it contradicts
// itself or does not fit the tensor.
absl::StatusOr<Spec> Resolve(const Spec& spec, DataType dtype, size_t rank);

// The functions below take a resolved spec.

// Whether codes are floating-point numbers: no scale and no zero point.
bool HasFloatCodes(const Spec& spec);

// Whether the arithmetic is float64: the tensor is FLOAT64 or bits > 16.
bool IsDoubleArithmetic(const Spec& spec, DataType dtype);

// The smallest and largest code. Integer codes only.
struct CodeRange {
  int64_t quant_min;
  int64_t quant_max;
};
CodeRange CodeRangeOf(const Spec& spec);

// Bytes of one code in memory without packing: 1, 2 or 4.
size_t CodeByteSize(const Spec& spec);

// Bytes that `count` codes take as spec.packing lays them out.
uint64_t CodeBytes(const Spec& spec, int64_t count);

}  // namespace halfstep

#endif  // HALFSTEP_CORE_SPEC_H_

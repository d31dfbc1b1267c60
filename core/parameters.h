// Scale and zero point: what gives codes their meaning.
#ifndef HALFSTEP_CORE_PARAMETERS_H_
#define HALFSTEP_CORE_PARAMETERS_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/data_type.h"
#include "core/spec.h"

namespace halfstep {

struct Parameters {
  Spec spec;
  // One per slice, slices in row-major order. Exact float32 values unless the
  // arithmetic is float64. Empty for floating-point codes.
  std::vector<double> scale;
  // As many as `scale`; empty if symmetric.
  std::vector<int32_t> zero_point;

  bool operator==(const Parameters&) const = default;
};

// `given` for a tensor of `dtype` and `shape`, as static quantization uses it:
// the spec resolved, scales rounded to the arithmetic's type, empty zero points
// left empty if symmetric.
//
// INVALID_ARGUMENT, naming the field relative to the parameters, if the spec is
// refused, if a scale is not finite, positive and normal, if the number of
// pairs does not fit the shape, or if a zero point cannot be one.
// RESOURCE_EXHAUSTED if there are more than `pairs_max` pairs.
absl::StatusOr<Parameters> ResolveParameters(const Parameters& given,
                                             DataType dtype,
                                             absl::Span<const int64_t> shape,
                                             uint64_t pairs_max);

// Checks pairs that come for a tensor of `dtype` under `spec`, resolved, and
// rounds the scales to the arithmetic's type. Paths are relative to the pairs.
// INVALID_ARGUMENT as above; also if there are not as many of both.
absl::Status ResolvePairs(const Spec& spec, DataType dtype,
                          std::vector<double>& scale,
                          absl::Span<const int32_t> zero_point);

}  // namespace halfstep

#endif  // HALFSTEP_CORE_PARAMETERS_H_

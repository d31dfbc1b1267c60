// Affine quantization of dense row-major tensors.
//
//   code = saturate(round_half_even(real / scale) + zero_point)
//   real = scale * (code - zero_point)
//
// docs/numerics.md is the specification, with worked examples.
//
// A plan holds everything about a call that is known before its first real is
// read; making one checks the call against shape, dtype and limits. Memory that
// an operation writes is aligned to 8 bytes; what it reads need not be.
#ifndef HALFSTEP_CORE_QUANTIZE_H_
#define HALFSTEP_CORE_QUANTIZE_H_

#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/error_report.h"
#include "core/executor.h"
#include "core/parameters.h"
#include "core/spec.h"
#include "core/tensor.h"

namespace halfstep {

// What the caller must know even without an error report.
struct Cuts {
  uint64_t saturated_count = 0;
  uint64_t non_finite_count = 0;
  uint64_t clamped_count = 0;

  bool operator==(const Cuts&) const = default;
};

class QuantizePlan {
 public:
  // Dynamic quantization: the parameters come from the tensor itself.
  // INVALID_ARGUMENT with the path "shape" or one under "spec";
  // RESOURCE_EXHAUSTED if there would be more than `pairs_max` pairs.
  static absl::StatusOr<QuantizePlan> Dynamic(const Spec& spec, DataType dtype,
                                              absl::Span<const int64_t> shape,
                                              uint64_t pairs_max);

  // Static quantization: `parameters` are used as they are. Errors as for
  // ResolveParameters, under "parameters", or "shape". Also the plan to
  // dequantize with.
  static absl::StatusOr<QuantizePlan> Static(const Parameters& parameters,
                                             DataType dtype,
                                             absl::Span<const int64_t> shape,
                                             uint64_t pairs_max);

  const Spec& spec() const { return spec_; }
  DataType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int64_t element_count() const { return element_count_; }
  uint64_t pair_count() const { return pair_count_; }
  // Present in a static plan.
  const std::optional<Parameters>& given() const { return given_; }
  // Bytes of the codes as spec().packing lays them out.
  uint64_t code_bytes() const { return CodeBytes(spec_, element_count_); }

 private:
  QuantizePlan() = default;

  Spec spec_;
  DataType dtype_ = DataType::kFloat32;
  Shape shape_;
  int64_t element_count_ = 0;
  uint64_t pair_count_ = 0;
  std::optional<Parameters> given_;
};

struct QuantizeResult {
  Parameters parameters;
  Cuts cuts;
  std::optional<ErrorReport> error;  // if asked for
};

// Writes the codes of `reals` to `codes`.
//
// `reals`  element_count() reals of the plan's dtype.
// `codes`  exactly code_bytes() bytes, or empty: then only parameters, cuts and
//          the error report are computed.
//
// INVALID_ARGUMENT if a real is not finite under NonFinitePolicy::kReject,
// with the path "data", the first index and the number of such reals;
// INVALID_ARGUMENT if sizes do not fit. CANCELLED or DEADLINE_EXCEEDED as
// `execution` says. What `codes` holds is then unspecified.
//
// Thread-safe. Allocates nothing per element. The result depends neither on
// the instruction set nor on the number of threads nor on the cuts of `reals`.
absl::StatusOr<QuantizeResult> Quantize(const QuantizePlan& plan,
                                        const Pieces& reals, bool measure_error,
                                        const Execution& execution,
                                        absl::Span<std::byte> codes);

// Quantizes and dequantizes in one step; otherwise as Quantize.
//
// `reconstructed`  element_count() reals of the plan's dtype.
// `gradient_mask`  ceil(element_count() / 8) bytes, or empty if not wanted. One
//                  bit per element, lowest first: 1 where the real is finite
//                  and neither clamped nor saturated. Padding bits are 0.
absl::StatusOr<QuantizeResult> FakeQuantize(
    const QuantizePlan& plan, const Pieces& reals, bool measure_error,
    const Execution& execution, absl::Span<std::byte> reconstructed,
    absl::Span<std::byte> gradient_mask);

// Turns codes back into reals of `dtype`.
//
// `plan`   static; its dtype is the one that the reals had.
// `codes`  exactly code_bytes() bytes.
// `reals`  element_count() elements of `dtype`.
//
// INVALID_ARGUMENT ("codes") if a code is outside the code range or a padding
// bit is set. Otherwise as Quantize.
absl::Status Dequantize(const QuantizePlan& plan, const Pieces& codes,
                        DataType dtype, const Execution& execution,
                        absl::Span<std::byte> reals);

// Compares `original` with the reconstruction of `codes` in original.dtype;
// `plan` and `codes` as for Dequantize. INVALID_ARGUMENT ("quantized.shape") if
// the shapes differ.
absl::StatusOr<ErrorReport> MeasureError(const TensorView& original,
                                         const QuantizePlan& plan,
                                         const Pieces& codes,
                                         const Execution& execution);

}  // namespace halfstep

#endif  // HALFSTEP_CORE_QUANTIZE_H_

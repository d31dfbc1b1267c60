// Tensors of requests and replies, whose elements are bytes (field 1000,
// outside the message) or, for small tensors written by hand, numbers
// (`values`).
#ifndef HALFSTEP_SERVER_API_TENSORS_H_
#define HALFSTEP_SERVER_API_TENSORS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/quantize.h"
#include "core/spec.h"
#include "core/tensor.h"
#include "halfstep/v1/quantization.pb.h"
#include "server/options.h"

namespace halfstep {

// A tensor of reals as a request gave it.
struct RealsInput {
  TensorView tensor;
  // Whether it was given as numbers. The reply then gives numbers, too.
  bool as_values = false;
  // What tensor.reals refers to if it was; else the request's payload.
  std::vector<std::byte> storage;
};

// A tensor of codes as a request gave it.
struct CodesInput {
  // How to turn them back into reals.
  QuantizePlan plan;
  Pieces codes;
  bool as_values = false;
  std::vector<std::byte> storage;
};

// Checks `tensor` with its payload `data`: known dtype, either data or values,
// and as many as the shape says. Numbers are rounded to the dtype.
//
// INVALID_ARGUMENT naming the field relative to the tensor; RESOURCE_EXHAUSTED
// ("values") if there are more than max_values. `data` must outlive the result.
absl::StatusOr<RealsInput> ReadReals(const v1::Tensor& tensor,
                                     const Pieces& data,
                                     const CallLimits& limits);

// The same for codes with their parameters; a number that is no code is refused
// here, bytes are checked where they are used.
absl::StatusOr<CodesInput> ReadCodes(const v1::QuantizedTensor& tensor,
                                     const Pieces& codes,
                                     const CallLimits& limits);

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_API_TENSORS_H_

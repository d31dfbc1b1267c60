// What a load run sends: a weighted mix of calls, each serialized once before
// the run and then shared by all calls without being copied.
#ifndef HALFSTEP_CLIENT_LOAD_WORKLOAD_H_
#define HALFSTEP_CLIENT_LOAD_WORKLOAD_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "halfstep/v1/quantization.pb.h"

namespace halfstep {
class Client;
}  // namespace halfstep

namespace halfstep::load {

enum class Rpc : uint8_t {
  kQuantize,
  kDequantize,
  kFakeQuantize,
  kError,
  kParameters,
};

// "Quantize", as the API spells it; ComputeParameters for kParameters.
const char* MethodOf(Rpc rpc);

template <typename T>
struct Weighted {
  T value;
  double weight = 1;  // finite and > 0
};

struct MixOptions {
  std::vector<Weighted<Rpc>> rpcs;
  // Bytes of the tensor's reals.
  std::vector<Weighted<uint64_t>> sizes;
  std::vector<Weighted<v1::Scheme>> schemes;
  v1::DataType dtype = v1::DATA_TYPE_FLOAT32;
  // Everything but the scheme.
  v1::QuantizationSpec spec;
  // Of ComputeParameters.
  v1::CalibrationMethod method = v1::CALIBRATION_METHOD_MSE;
  // Whether Quantize and FakeQuantize are asked for their error, too.
  bool measure_error = false;
  // One seed gives the same tensors, and the same order of calls.
  uint64_t seed = 1;

  // Whether it is among `rpcs`.
  bool Sends(Rpc rpc) const;
};

// One kind of call.
struct Variant {
  Rpc rpc = Rpc::kQuantize;
  v1::Scheme scheme = v1::SCHEME_UNSPECIFIED;
  uint64_t real_bytes = 0;
  double weight = 1;
  std::string method;        // "/halfstep.v1.QuantizationService/Quantize"
  grpc::ByteBuffer request;  // the serialized message
  uint64_t request_bytes = 0;
};

class Workload {
 public:
  // Every combination of rpcs, sizes and schemes, weights multiplied. `client`
  // answers each once: the codes for Dequantize and MeasureError are its, as is
  // the calibration state for ComputeParameters (one per size, by Observe), and
  // what it refuses is refused here.
  //
  // INVALID_ARGUMENT if a size is no whole number of elements, or past the
  // server's limit; otherwise the server's errors.
  static absl::StatusOr<Workload> Prepare(const MixOptions& options,
                                          Client& client);

  explicit Workload(std::vector<Variant> variants);

  const std::vector<Variant>& variants() const { return variants_; }

  // An index into variants(), as the weights say. Thread-safe.
  size_t Pick(std::mt19937_64& random) const;

 private:
  std::vector<Variant> variants_;
  std::vector<double> cumulative_weights_;
};

}  // namespace halfstep::load

#endif  // HALFSTEP_CLIENT_LOAD_WORKLOAD_H_

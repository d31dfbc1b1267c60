#include "client/load/workload.h"

#include <google/protobuf/message.h>
#include <grpcpp/support/slice.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "client/client.h"

namespace halfstep::load {
namespace {

size_t ElementBytes(v1::DataType dtype) {
  switch (dtype) {
    case v1::DATA_TYPE_FLOAT64:
      return 8;
    case v1::DATA_TYPE_FLOAT32:
      return 4;
    default:
      return 2;
  }
}

// A real of a normal distribution around 0, as weights of a network have, from
// sums of the generator's bits: the same on every machine.
double NextReal(std::mt19937_64& random) {
  double sum = -6;
  for (int i = 0; i < 4; ++i) {
    const uint64_t bits = random();
    for (int shift = 0; shift < 63; shift += 21) {
      sum += static_cast<double>(bits >> shift & 0x1fffff) * 0x1p-21;
    }
  }
  return sum;
}

template <typename T>
void Append(T element, std::string& bytes) {
  char raw[sizeof element];
  std::memcpy(raw, &element, sizeof element);
  bytes.append(raw, sizeof element);
}

void AppendReal(double real, v1::DataType dtype, std::string& bytes) {
  if (dtype == v1::DATA_TYPE_FLOAT64) return Append(real, bytes);
  const float narrow = static_cast<float>(real);
  if (dtype == v1::DATA_TYPE_FLOAT32) return Append(narrow, bytes);
  uint32_t bits = 0;
  std::memcpy(&bits, &narrow, sizeof bits);
  if (dtype == v1::DATA_TYPE_BFLOAT16) {
    return Append(static_cast<uint16_t>(bits >> 16), bytes);
  }
  // Truncated to FLOAT16; below its normal numbers, zero.
  const uint32_t magnitude = bits & 0x7fffffff;
  const uint32_t half =
      magnitude < 0x38800000 ? 0 : (magnitude - 0x38000000) >> 13;
  Append(static_cast<uint16_t>((bits >> 16 & 0x8000) | half), bytes);
}

v1::Tensor TensorOf(const MixOptions& options, uint64_t bytes) {
  v1::Tensor tensor;
  tensor.set_dtype(options.dtype);
  const uint64_t count = bytes / ElementBytes(options.dtype);
  tensor.add_shape(static_cast<int64_t>(count));
  std::string& data = *tensor.mutable_data();
  data.reserve(bytes);
  std::mt19937_64 random(options.seed);
  // Drawing is slow: larger tensors repeat themselves, at a length that no
  // group or vector divides.
  constexpr uint64_t kDrawn = 65'537;
  for (uint64_t i = 0; i < std::min(count, kDrawn); ++i) {
    AppendReal(NextReal(random), options.dtype, data);
  }
  while (data.size() < bytes) {
    const size_t more = std::min<size_t>(bytes - data.size(),
                                         kDrawn * ElementBytes(options.dtype));
    data.append(data.data(), more);
  }
  return tensor;
}

absl::Status CheckSize(uint64_t bytes, const MixOptions& options,
                       uint64_t bytes_max) {
  const size_t element = ElementBytes(options.dtype);
  if (bytes == 0 || bytes % element != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--sizes: ", bytes, "; must be a positive multiple of ",
                     element, " bytes for ", v1::DataType_Name(options.dtype)));
  }
  if (bytes > bytes_max) {
    return absl::InvalidArgumentError(
        absl::StrCat("--sizes: ", bytes, "; must be at most ", bytes_max,
                     ", the server's max_message_bytes"));
  }
  return absl::OkStatus();
}

// Serializes once, into memory that every call then refers to.
void SetRequest(const google::protobuf::Message& message, Variant& variant) {
  grpc::Slice slice(message.SerializeAsString());
  variant.request_bytes = slice.size();
  variant.request = grpc::ByteBuffer(&slice, 1);
}

// The state of `tensor`'s reals, by the server.
absl::StatusOr<v1::CalibrationState> StateOf(const v1::Tensor& tensor,
                                             Client& client) {
  bool sent = false;
  absl::StatusOr<v1::ObserveResponse> observed =
      client.Observe([&](v1::ObserveRequest& request) -> absl::StatusOr<bool> {
        if (std::exchange(sent, true)) return false;
        *request.mutable_tensor() = tensor;
        return true;
      });
  if (!observed.ok()) return observed.status();
  return std::move(*observed->mutable_state());
}

// What the requests of one size are made of.
struct Source {
  v1::QuantizeRequest quantize;
  v1::ComputeParametersRequest parameters;  // if it is among the RPCs
};

// Everything but the scheme.
absl::StatusOr<Source> SourceOf(const MixOptions& options, uint64_t bytes,
                                Client& client) {
  Source source;
  *source.quantize.mutable_spec() = options.spec;
  *source.quantize.mutable_tensor() = TensorOf(options, bytes);
  source.quantize.set_measure_error(options.measure_error);
  if (!options.Sends(Rpc::kParameters)) return source;
  absl::StatusOr<v1::CalibrationState> state =
      StateOf(source.quantize.tensor(), client);
  if (!state.ok()) return state.status();
  *source.parameters.mutable_state() = *std::move(state);
  *source.parameters.mutable_spec() = options.spec;
  source.parameters.set_method(options.method);
  source.parameters.set_dtype(options.dtype);
  return source;
}

// Sets variant.request, after the server has answered it once.
absl::Status SetRequestOf(const Source& source, Client& client,
                          Variant& variant) {
  if (variant.rpc == Rpc::kParameters) {
    SetRequest(source.parameters, variant);
    return client.ComputeParameters(source.parameters).status();
  }
  const v1::QuantizeRequest& base = source.quantize;
  if (variant.rpc == Rpc::kFakeQuantize) {
    v1::FakeQuantizeRequest request;
    *request.mutable_spec() = base.spec();
    *request.mutable_tensor() = base.tensor();
    request.set_measure_error(base.measure_error());
    SetRequest(request, variant);
    return client.FakeQuantize(request).status();
  }
  absl::StatusOr<v1::QuantizeResponse> quantized = client.Quantize(base);
  if (!quantized.ok()) return quantized.status();
  if (variant.rpc == Rpc::kQuantize) {
    SetRequest(base, variant);
    return absl::OkStatus();
  }
  if (variant.rpc == Rpc::kDequantize) {
    v1::DequantizeRequest request;
    request.mutable_tensor()->Swap(quantized->mutable_tensor());
    SetRequest(request, variant);
    return client.Dequantize(request).status();
  }
  v1::MeasureErrorRequest request;
  *request.mutable_original() = base.tensor();
  request.mutable_quantized()->Swap(quantized->mutable_tensor());
  SetRequest(request, variant);
  return client.MeasureError(request).status();
}

}  // namespace

const char* MethodOf(Rpc rpc) {
  switch (rpc) {
    case Rpc::kQuantize:
      return "Quantize";
    case Rpc::kDequantize:
      return "Dequantize";
    case Rpc::kFakeQuantize:
      return "FakeQuantize";
    case Rpc::kError:
      return "MeasureError";
    case Rpc::kParameters:
      return "ComputeParameters";
  }
  return "";
}

bool MixOptions::Sends(Rpc rpc) const {
  return absl::c_any_of(
      rpcs, [rpc](const Weighted<Rpc>& sent) { return sent.value == rpc; });
}

absl::StatusOr<Workload> Workload::Prepare(const MixOptions& options,
                                           Client& client) {
  const absl::StatusOr<v1::GetServerInfoResponse> info = client.GetServerInfo();
  if (!info.ok()) return info.status();
  for (const Weighted<uint64_t>& size : options.sizes) {
    absl::Status status =
        CheckSize(size.value, options, info->max_message_bytes());
    if (!status.ok()) return status;
  }
  std::vector<Variant> variants;
  for (const Weighted<uint64_t>& size : options.sizes) {
    absl::StatusOr<Source> source = SourceOf(options, size.value, client);
    if (!source.ok()) return source.status();
    for (const Weighted<v1::Scheme>& scheme : options.schemes) {
      source->quantize.mutable_spec()->set_scheme(scheme.value);
      source->parameters.mutable_spec()->set_scheme(scheme.value);
      for (const Weighted<Rpc>& rpc : options.rpcs) {
        Variant variant;
        variant.rpc = rpc.value;
        variant.scheme = scheme.value;
        variant.real_bytes = size.value;
        variant.weight = size.weight * scheme.weight * rpc.weight;
        variant.method =
            absl::StrCat("/halfstep.v1.",
                         rpc.value == Rpc::kParameters ? "CalibrationService/"
                                                       : "QuantizationService/",
                         MethodOf(rpc.value));
        const absl::Status status = SetRequestOf(*source, client, variant);
        if (!status.ok()) return status;
        variants.push_back(std::move(variant));
      }
    }
  }
  return Workload(std::move(variants));
}

Workload::Workload(std::vector<Variant> variants)
    : variants_(std::move(variants)) {
  double sum = 0;
  for (const Variant& variant : variants_) {
    cumulative_weights_.push_back(sum += variant.weight);
  }
}

size_t Workload::Pick(std::mt19937_64& random) const {
  if (variants_.size() == 1) return 0;
  const double at = static_cast<double>(random() >> 11) * 0x1p-53 *
                    cumulative_weights_.back();
  const auto found = std::upper_bound(cumulative_weights_.begin(),
                                      cumulative_weights_.end(), at);
  return std::min(static_cast<size_t>(found - cumulative_weights_.begin()),
                  variants_.size() - 1);
}

}  // namespace halfstep::load

#include "server/api/quantization_service.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "core/field_error.h"
#include "halfstep/v1/quantization.pb.h"
#include "server/api/convert.h"
#include "server/api/numbers.h"
#include "server/api/server_info.h"
#include "server/api/tensor_streams.h"
#include "server/api/tensors.h"
#include "server/wire/wire.h"

namespace halfstep {
namespace {

// Bytes that a reply holds per pair of scale and zero point, until it is sent:
// in core's vectors, in the message and serialized, 12 to 13 each.
constexpr uint64_t kReplyBytesPerPair = 40;

uint64_t ParameterBytes(const QuantizePlan& plan) {
  return kReplyBytesPerPair * plan.pair_count();
}

// The plan that a request's oneof `how` asks for.
template <typename Request>
absl::StatusOr<QuantizePlan> PlanFor(const Request& request,
                                     const TensorView& tensor,
                                     const CallLimits& limits) {
  if (request.how_case() != Request::kParameters) {
    const absl::StatusOr<Spec> spec = FromProto(request.spec());
    if (!spec.ok()) return UnderField("spec", spec.status());
    return QuantizePlan::Dynamic(*spec, tensor.dtype, tensor.shape,
                                 limits.max_parameter_pairs);
  }
  const absl::StatusOr<Parameters> parameters =
      FromProto(request.parameters(), limits.max_parameter_pairs);
  if (!parameters.ok()) return UnderField("parameters", parameters.status());
  return QuantizePlan::Static(*parameters, tensor.dtype, tensor.shape,
                              limits.max_parameter_pairs);
}

// A request to quantize, ready to be computed.
template <typename Request>
struct Quantization {
  Request request;
  Payloads payloads;  // what reals refers to
  RealsInput reals;
  std::optional<QuantizePlan> plan;
};

template <typename Request>
absl::Status Read(const grpc::ByteBuffer& message, Call& call,
                  Quantization<Request>& out) {
  if (absl::Status read = call.Read(message, out.request, out.payloads);
      !read.ok()) {
    return read;
  }
  const CallLimits& limits = call.limits();
  absl::StatusOr<RealsInput> reals =
      ReadReals(out.request.tensor(),
                out.payloads.Under(Request::kTensorFieldNumber), limits);
  if (!reals.ok()) return UnderField("tensor", reals.status());
  out.reals = *std::move(reals);
  absl::StatusOr<QuantizePlan> plan =
      PlanFor(out.request, out.reals.tensor, limits);
  if (!plan.ok()) return plan.status();
  out.plan = *std::move(plan);
  return absl::OkStatus();
}

// What both replies to a quantization say beside their tensor.
template <typename Response>
void SetReport(const QuantizeResult& result, Response& response) {
  ToProto(result.cuts, *response.mutable_cuts());
  if (result.error.has_value())
    ToProto(*result.error, *response.mutable_error());
}

template <typename Tensor>
void SetShape(const Shape& shape, Tensor& tensor) {
  tensor.mutable_shape()->Add(shape.begin(), shape.end());
}

// `fields` with its tensor of reals in `field`, as bytes or as numbers.
grpc::ByteBuffer JoinReals(const google::protobuf::Message& fields, int field,
                           DataType dtype, const Shape& shape, bool as_values,
                           Buffer reals) {
  v1::Tensor tensor;
  tensor.set_dtype(ToProto(dtype));
  SetShape(shape, tensor);
  if (!as_values) return Join(fields, field, tensor, ToSlice(std::move(reals)));
  const std::vector<double> values = NumbersFromReals(dtype, reals.bytes());
  tensor.mutable_values()->Add(values.begin(), values.end());
  return Join(fields, field, tensor, grpc::Slice());
}

grpc::ByteBuffer JoinCodes(const QuantizeResult& result,
                           const QuantizePlan& plan, bool as_values,
                           Buffer codes) {
  v1::QuantizeResponse response;
  SetReport(result, response);
  v1::QuantizedTensor tensor;
  ToProto(result.parameters, *tensor.mutable_parameters());
  tensor.set_dtype(ToProto(plan.dtype()));
  SetShape(plan.shape(), tensor);
  grpc::Slice payload;
  if (as_values) {
    const std::vector<int64_t> values =
        NumbersFromCodes(plan.spec(), plan.element_count(), codes.bytes());
    tensor.mutable_values()->Add(values.begin(), values.end());
  } else {
    payload = ToSlice(std::move(codes));
  }
  return Join(response, response.kTensorFieldNumber, tensor,
              std::move(payload));
}

Reply Quantize(const grpc::ByteBuffer& message, Call& call) {
  Quantization<v1::QuantizeRequest> in;
  if (absl::Status read = Read(message, call, in); !read.ok()) return read;
  const QuantizePlan& plan = *in.plan;
  absl::StatusOr<Buffer> codes =
      call.Allocate(plan.code_bytes(), ParameterBytes(plan));
  if (!codes.ok()) return codes.status();
  const absl::StatusOr<QuantizeResult> result = halfstep::Quantize(
      plan, in.reals.tensor.reals, in.request.measure_error(), call.execution(),
      codes->bytes());
  if (!result.ok()) return UnderField("tensor", result.status());
  call.CountWork(plan.spec().scheme, plan.element_count(), result->cuts);
  return ToReply(
      JoinCodes(*result, plan, in.reals.as_values, *std::move(codes)));
}

Reply Dequantize(const grpc::ByteBuffer& message, Call& call) {
  v1::DequantizeRequest request;
  Payloads payloads;
  if (absl::Status read = call.Read(message, request, payloads); !read.ok()) {
    return read;
  }
  const absl::StatusOr<CodesInput> in =
      ReadCodes(request.tensor(), payloads.Under(request.kTensorFieldNumber),
                call.limits());
  if (!in.ok()) return UnderField("tensor", in.status());
  const bool is_default = request.dtype() == v1::DATA_TYPE_UNSPECIFIED;
  const absl::StatusOr<DataType> dtype =
      is_default ? in->plan.dtype() : FromProto(request.dtype());
  if (!dtype.ok()) return dtype.status();
  absl::StatusOr<Buffer> reals = call.Allocate(
      static_cast<uint64_t>(in->plan.element_count()) * ByteSize(*dtype), 0);
  if (!reals.ok()) return reals.status();
  const absl::Status done = halfstep::Dequantize(
      in->plan, in->codes, *dtype, call.execution(), reals->bytes());
  if (!done.ok()) return UnderField("tensor", done);
  call.CountWork(in->plan.spec().scheme, in->plan.element_count(), Cuts());
  return ToReply(JoinReals(v1::DequantizeResponse(),
                           v1::DequantizeResponse::kTensorFieldNumber, *dtype,
                           in->plan.shape(), in->as_values, *std::move(reals)));
}

Reply FakeQuantize(const grpc::ByteBuffer& message, Call& call) {
  Quantization<v1::FakeQuantizeRequest> in;
  if (absl::Status read = Read(message, call, in); !read.ok()) return read;
  const QuantizePlan& plan = *in.plan;
  const auto count = static_cast<uint64_t>(plan.element_count());
  const uint64_t mask_bytes = in.request.gradient_mask() ? (count + 7) / 8 : 0;
  // The mask exists twice: in the message, and serialized.
  absl::StatusOr<Buffer> reals = call.Allocate(
      count * ByteSize(plan.dtype()), ParameterBytes(plan) + 2 * mask_bytes);
  if (!reals.ok()) return reals.status();
  v1::FakeQuantizeResponse response;
  std::string& mask = *response.mutable_gradient_mask();
  mask.resize(mask_bytes);
  const absl::StatusOr<QuantizeResult> result = halfstep::FakeQuantize(
      plan, in.reals.tensor.reals, in.request.measure_error(), call.execution(),
      reals->bytes(), {reinterpret_cast<std::byte*>(mask.data()), mask.size()});
  if (!result.ok()) return UnderField("tensor", result.status());
  call.CountWork(plan.spec().scheme, plan.element_count(), result->cuts);
  SetReport(*result, response);
  ToProto(result->parameters, *response.mutable_parameters());
  return ToReply(JoinReals(response, response.kTensorFieldNumber, plan.dtype(),
                           plan.shape(), in.reals.as_values,
                           *std::move(reals)));
}

absl::StatusOr<ErrorReport> MeasureAgainstReals(const TensorView& original,
                                                const v1::Tensor& tensor,
                                                const Pieces& data,
                                                Call& call) {
  const absl::StatusOr<RealsInput> in = ReadReals(tensor, data, call.limits());
  if (!in.ok()) return UnderField("reconstructed", in.status());
  return halfstep::MeasureError(original, in->tensor, call.execution());
}

absl::StatusOr<ErrorReport> MeasureAgainstCodes(
    const TensorView& original, const v1::QuantizedTensor& tensor,
    const Pieces& codes, Call& call) {
  const absl::StatusOr<CodesInput> in = ReadCodes(tensor, codes, call.limits());
  if (!in.ok()) return UnderField("quantized", in.status());
  return halfstep::MeasureError(original, in->plan, in->codes,
                                call.execution());
}

Reply MeasureError(const grpc::ByteBuffer& message, Call& call) {
  v1::MeasureErrorRequest request;
  Payloads payloads;
  if (absl::Status read = call.Read(message, request, payloads); !read.ok()) {
    return read;
  }
  const absl::StatusOr<RealsInput> original =
      ReadReals(request.original(),
                payloads.Under(request.kOriginalFieldNumber), call.limits());
  if (!original.ok()) return UnderField("original", original.status());
  absl::StatusOr<ErrorReport> report =
      FieldError("against", "not set; must be reconstructed or quantized");
  if (request.has_reconstructed()) {
    report = MeasureAgainstReals(
        original->tensor, request.reconstructed(),
        payloads.Under(request.kReconstructedFieldNumber), call);
  } else if (request.has_quantized()) {
    report = MeasureAgainstCodes(original->tensor, request.quantized(),
                                 payloads.Under(request.kQuantizedFieldNumber),
                                 call);
  }
  if (!report.ok()) return report.status();
  call.CountElements(report->element_count);
  v1::MeasureErrorResponse response;
  ToProto(*report, *response.mutable_error());
  return ToReply(Serialize(response));
}

Reply GetServerInfo(const grpc::ByteBuffer& message, Call& call,
                    const ServerOptions& options) {
  v1::GetServerInfoRequest request;
  Payloads payloads;
  if (absl::Status read = call.Read(message, request, payloads); !read.ok()) {
    return read;
  }
  return ToReply(Serialize(ServerInfo(options)));
}

}  // namespace

QuantizationService::QuantizationService(const CallEnvironment& environment)
    : ByteService("halfstep.v1.QuantizationService", environment) {
  Serve("Quantize", [](const auto& message, Call& call) {
    return Quantize(message, call);
  });
  Serve("Dequantize", [](const auto& message, Call& call) {
    return Dequantize(message, call);
  });
  Serve("FakeQuantize", [](const auto& message, Call& call) {
    return FakeQuantize(message, call);
  });
  Serve("MeasureError", [](const auto& message, Call& call) {
    return MeasureError(message, call);
  });
  Serve("GetServerInfo", [&environment](const auto& message, Call& call) {
    return GetServerInfo(message, call, environment.options);
  });
  ServeStream("QuantizeStream", MakeQuantizeStream);
  ServeStream("DequantizeStream", MakeDequantizeStream);
}

}  // namespace halfstep

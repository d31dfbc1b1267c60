#include "client/cli/load_verify.h"

#include <google/protobuf/util/message_differencer.h>
#include <grpcpp/support/slice.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "core/calibration_parameters.h"
#include "core/error_report.h"
#include "core/executor.h"
#include "core/quantize.h"
#include "core/tensor.h"
#include "halfstep/v1/quantization.pb.h"
#include "server/api/calibration_state.h"
#include "server/api/convert.h"

namespace halfstep::cli {
namespace {

using google::protobuf::Message;
using AnswerOr = absl::StatusOr<std::unique_ptr<Message>>;

// Limits are the server's business.
constexpr uint64_t kPairsMax = std::numeric_limits<uint64_t>::max();
constexpr uint64_t kSummariesMax = std::numeric_limits<uint64_t>::max();

Pieces PiecesOf(const std::string& bytes) {
  return Pieces(absl::MakeConstSpan(
      reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()));
}

absl::Span<std::byte> SpanOf(std::string& bytes) {
  return {reinterpret_cast<std::byte*>(bytes.data()), bytes.size()};
}

std::vector<grpc::Slice> SlicesOf(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  return buffer.Dump(&slices).ok() ? slices : std::vector<grpc::Slice>();
}

std::string BytesOf(const grpc::ByteBuffer& buffer) {
  std::string bytes;
  bytes.reserve(buffer.Length());
  for (const grpc::Slice& slice : SlicesOf(buffer)) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

bool Equals(const grpc::ByteBuffer& buffer, const std::string& bytes) {
  if (buffer.Length() != bytes.size()) return false;
  size_t at = 0;
  for (const grpc::Slice& slice : SlicesOf(buffer)) {
    if (std::memcmp(slice.begin(), bytes.data() + at, slice.size()) != 0) {
      return false;
    }
    at += slice.size();
  }
  return at == bytes.size();
}

absl::StatusOr<QuantizePlan> DynamicPlan(const v1::QuantizationSpec& message,
                                         const v1::Tensor& tensor) {
  const absl::StatusOr<DataType> dtype = FromProto(tensor.dtype());
  if (!dtype.ok()) return dtype.status();
  const absl::StatusOr<Spec> spec = FromProto(message);
  if (!spec.ok()) return spec.status();
  return QuantizePlan::Dynamic(*spec, *dtype, tensor.shape(), kPairsMax);
}

absl::StatusOr<QuantizePlan> StaticPlan(const v1::QuantizedTensor& tensor) {
  const absl::StatusOr<DataType> dtype = FromProto(tensor.dtype());
  if (!dtype.ok()) return dtype.status();
  const absl::StatusOr<Parameters> parameters =
      FromProto(tensor.parameters(), kPairsMax);
  if (!parameters.ok()) return parameters.status();
  return QuantizePlan::Static(*parameters, *dtype, tensor.shape(), kPairsMax);
}

// What an answer says beside its tensor.
template <typename Response>
void SetReport(const QuantizeResult& result, Response& response) {
  ToProto(result.cuts, *response.mutable_cuts());
  if (result.error.has_value()) {
    ToProto(*result.error, *response.mutable_error());
  }
}

// Each computes the answer to one request.

AnswerOr Answer(const v1::QuantizeRequest& request,
                const Execution& execution) {
  const absl::StatusOr<QuantizePlan> plan =
      DynamicPlan(request.spec(), request.tensor());
  if (!plan.ok()) return plan.status();
  auto response = std::make_unique<v1::QuantizeResponse>();
  v1::QuantizedTensor& tensor = *response->mutable_tensor();
  tensor.mutable_codes()->resize(plan->code_bytes());
  const absl::StatusOr<QuantizeResult> result = Quantize(
      *plan, PiecesOf(request.tensor().data()), request.measure_error(),
      execution, SpanOf(*tensor.mutable_codes()));
  if (!result.ok()) return result.status();
  SetReport(*result, *response);
  ToProto(result->parameters, *tensor.mutable_parameters());
  tensor.set_dtype(request.tensor().dtype());
  *tensor.mutable_shape() = request.tensor().shape();
  return response;
}

AnswerOr Answer(const v1::FakeQuantizeRequest& request,
                const Execution& execution) {
  const absl::StatusOr<QuantizePlan> plan =
      DynamicPlan(request.spec(), request.tensor());
  if (!plan.ok()) return plan.status();
  auto response = std::make_unique<v1::FakeQuantizeResponse>();
  v1::Tensor& tensor = *response->mutable_tensor();
  tensor.mutable_data()->resize(request.tensor().data().size());
  const absl::StatusOr<QuantizeResult> result = FakeQuantize(
      *plan, PiecesOf(request.tensor().data()), request.measure_error(),
      execution, SpanOf(*tensor.mutable_data()), {});
  if (!result.ok()) return result.status();
  SetReport(*result, *response);
  ToProto(result->parameters, *response->mutable_parameters());
  tensor.set_dtype(request.tensor().dtype());
  *tensor.mutable_shape() = request.tensor().shape();
  return response;
}

AnswerOr Answer(const v1::DequantizeRequest& request,
                const Execution& execution) {
  const absl::StatusOr<QuantizePlan> plan = StaticPlan(request.tensor());
  if (!plan.ok()) return plan.status();
  auto response = std::make_unique<v1::DequantizeResponse>();
  v1::Tensor& tensor = *response->mutable_tensor();
  tensor.mutable_data()->resize(static_cast<size_t>(plan->element_count()) *
                                ByteSize(plan->dtype()));
  const absl::Status done =
      Dequantize(*plan, PiecesOf(request.tensor().codes()), plan->dtype(),
                 execution, SpanOf(*tensor.mutable_data()));
  if (!done.ok()) return done;
  tensor.set_dtype(request.tensor().dtype());
  *tensor.mutable_shape() = request.tensor().shape();
  return response;
}

AnswerOr Answer(const v1::MeasureErrorRequest& request,
                const Execution& execution) {
  const absl::StatusOr<QuantizePlan> plan = StaticPlan(request.quantized());
  if (!plan.ok()) return plan.status();
  const v1::Tensor& original = request.original();
  const absl::StatusOr<ErrorReport> report =
      MeasureError({.dtype = plan->dtype(),
                    .shape = plan->shape(),
                    .reals = PiecesOf(original.data())},
                   *plan, PiecesOf(request.quantized().codes()), execution);
  if (!report.ok()) return report.status();
  auto response = std::make_unique<v1::MeasureErrorResponse>();
  ToProto(*report, *response->mutable_error());
  return response;
}

AnswerOr Answer(const v1::ComputeParametersRequest& request,
                const Execution& execution) {
  const absl::StatusOr<Spec> spec = FromProto(request.spec());
  if (!spec.ok()) return spec.status();
  const absl::StatusOr<CalibrationMethod> method = FromProto(request.method());
  if (!method.ok()) return method.status();
  const absl::StatusOr<DataType> dtype = FromProto(request.dtype());
  if (!dtype.ok()) return dtype.status();
  const absl::StatusOr<CalibrationState> state =
      FromProto(request.state(), kSummariesMax);
  if (!state.ok()) return state.status();
  const absl::StatusOr<CalibratedParameters> result =
      ComputeParameters(*state,
                        {.spec = *spec,
                         .method = *method,
                         .quantile = request.quantile(),
                         .dtype = *dtype},
                        execution);
  if (!result.ok()) return result.status();
  auto response = std::make_unique<v1::ComputeParametersResponse>();
  ToProto(result->parameters, *response->mutable_parameters());
  ToProto(result->expected_error, *response->mutable_expected_error());
  return response;
}

template <typename Request>
AnswerOr AnswerTo(const grpc::ByteBuffer& message, const Execution& execution) {
  Request request;
  if (!request.ParseFromString(BytesOf(message))) {
    return absl::InternalError("our own request cannot be parsed");
  }
  return Answer(request, execution);
}

AnswerOr AnswerTo(const load::Variant& variant, const Execution& execution) {
  switch (variant.rpc) {
    case load::Rpc::kQuantize:
      return AnswerTo<v1::QuantizeRequest>(variant.request, execution);
    case load::Rpc::kDequantize:
      return AnswerTo<v1::DequantizeRequest>(variant.request, execution);
    case load::Rpc::kFakeQuantize:
      return AnswerTo<v1::FakeQuantizeRequest>(variant.request, execution);
    case load::Rpc::kError:
      return AnswerTo<v1::MeasureErrorRequest>(variant.request, execution);
    case load::Rpc::kParameters:
      return AnswerTo<v1::ComputeParametersRequest>(variant.request, execution);
  }
  return absl::InternalError("no such rpc");
}

// The bytes of the answer that are most of it, with their name.
struct Payload {
  const char* name = "";
  std::string* bytes = nullptr;  // null if the message has none
  size_t element_bytes = 1;
};

size_t RealBytes(v1::DataType dtype) {
  const absl::StatusOr<DataType> known = FromProto(dtype);
  return known.ok() ? ByteSize(*known) : 1;
}

Payload PayloadOf(Message& message) {
  if (auto* response = dynamic_cast<v1::QuantizeResponse*>(&message)) {
    v1::QuantizedTensor& tensor = *response->mutable_tensor();
    const v1::QuantizationSpec& spec = tensor.parameters().spec();
    const uint32_t bits = spec.bits();
    const bool dense = spec.packing() == v1::PACKING_DENSE;
    return {.name = dense ? "tensor.codes, packed, byte" : "tensor.codes",
            .bytes = tensor.mutable_codes(),
            .element_bytes = dense || bits <= 8 ? 1u
                             : bits <= 16       ? 2u
                                                : 4u};
  }
  v1::Tensor* tensor = nullptr;
  if (auto* response = dynamic_cast<v1::FakeQuantizeResponse*>(&message)) {
    tensor = response->mutable_tensor();
  } else if (auto* other = dynamic_cast<v1::DequantizeResponse*>(&message)) {
    tensor = other->mutable_tensor();
  }
  if (tensor == nullptr) return {};
  return {.name = "tensor.data",
          .bytes = tensor->mutable_data(),
          .element_bytes = RealBytes(tensor->dtype())};
}

// "0x0a1b", as a number is written: the highest byte first.
std::string Hex(absl::string_view little_endian) {
  std::string text = "0x";
  for (auto byte = little_endian.rbegin(); byte != little_endian.rend();
       ++byte) {
    absl::StrAppend(&text,
                    absl::Hex(static_cast<uint8_t>(*byte), absl::kZeroPad2));
  }
  return text;
}

absl::Status Wrong(absl::string_view call, absl::string_view what) {
  return absl::DataLossError(absl::StrCat(call, ": ", what));
}

// Compares payloads, then all other fields.
absl::Status Compare(absl::string_view call, const Message& expected,
                     Message& actual) {
  const std::unique_ptr<Message> right(expected.New());
  right->CopyFrom(expected);
  const Payload want = PayloadOf(*right);
  const Payload got = PayloadOf(actual);
  if (want.bytes != nullptr) {
    if (want.bytes->size() != got.bytes->size()) {
      return Wrong(call, absl::StrCat(want.name, ": ", got.bytes->size(),
                                      " bytes; must be ", want.bytes->size()));
    }
    const auto different = std::mismatch(want.bytes->begin(), want.bytes->end(),
                                         got.bytes->begin());
    if (different.first != want.bytes->end()) {
      const size_t width = want.element_bytes;
      const size_t index =
          static_cast<size_t>(different.first - want.bytes->begin()) / width;
      const auto element = [&](const std::string& bytes) {
        return Hex(absl::string_view(bytes).substr(index * width, width));
      };
      return Wrong(
          call, absl::StrCat(want.name, "[", index, "]: ", element(*got.bytes),
                             "; must be ", element(*want.bytes)));
    }
    want.bytes->clear();
    got.bytes->clear();
  }
  google::protobuf::util::MessageDifferencer differencer;
  std::string differences;
  differencer.ReportDifferencesToString(&differences);
  if (differencer.Compare(*right, actual)) return absl::OkStatus();
  // "modified: cuts.saturated_count: 0 -> 1", expected first.
  const absl::string_view first =
      absl::string_view(differences).substr(0, differences.find('\n'));
  return Wrong(call, absl::StrReplaceAll(first, {{" -> ", " expected, got "}}));
}

}  // namespace

absl::StatusOr<std::unique_ptr<AnswerCheck>> AnswerCheck::Create(
    const load::Workload& workload) {
  std::unique_ptr<AnswerCheck> check(new AnswerCheck());
  Executor executor({});
  const Cancellation never;
  for (const load::Variant& variant : workload.variants()) {
    AnswerOr message =
        AnswerTo(variant, {.executor = executor, .cancellation = never});
    if (!message.ok()) return message.status();
    auto answer = std::make_unique<AnswerCheck::Answer>();
    answer->call = load::MethodOf(variant.rpc);
    answer->message = *std::move(message);
    check->answers_.push_back(std::move(answer));
  }
  return check;
}

absl::Status AnswerCheck::Check(size_t variant, const grpc::ByteBuffer& reply) {
  struct Answer& answer = *answers_[variant];
  std::shared_ptr<const std::string> seen;
  {
    const absl::MutexLock lock(&answer.mutex);
    seen = answer.seen;
  }
  if (seen != nullptr && Equals(reply, *seen)) return absl::OkStatus();
  std::string bytes = BytesOf(reply);
  const std::unique_ptr<Message> actual(answer.message->New());
  if (!actual->ParseFromString(bytes)) {
    return Wrong(answer.call, "the reply cannot be parsed");
  }
  absl::Status status = Compare(answer.call, *answer.message, *actual);
  if (!status.ok()) return status;
  const absl::MutexLock lock(&answer.mutex);
  answer.seen = std::make_shared<const std::string>(std::move(bytes));
  return absl::OkStatus();
}

}  // namespace halfstep::cli

#include "server/api/calibration_service.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/calibration_parameters.h"
#include "core/field_error.h"
#include "halfstep/v1/quantization.pb.h"
#include "server/api/calibration_state.h"
#include "server/api/convert.h"
#include "server/api/observe_stream.h"
#include "server/call/placement.h"
#include "server/wire/wire.h"

namespace halfstep {
namespace {

// Memory that a state takes per byte on the wire beside the request's fields: a
// bucket of 2 bytes has 16 in core, and 12 and 2 in the reply.
constexpr uint64_t kStateBytesPerByte = 15;

// Reads `message` once there is room for what it becomes.
absl::Status Read(const grpc::ByteBuffer& message, Call& call,
                  google::protobuf::Message& request) {
  const uint64_t bytes = kStateBytesPerByte * message.Length();
  // Asked before, so that a long message moves to the executor unparsed; and
  // again, with what its fields take.
  absl::Status held = call.Allocate(0, bytes).status();
  if (!held.ok()) return held;
  Payloads payloads;
  if (absl::Status read = call.Read(message, request, payloads); !read.ok()) {
    return read;
  }
  return call.Allocate(0, bytes).status();
}

Reply Merge(const grpc::ByteBuffer& message, Call& call) {
  v1::MergeRequest request;
  if (absl::Status read = Read(message, call, request); !read.ok()) return read;
  if (request.states().empty()) {
    return FieldError("states", "none given; must be at least one");
  }
  CalibrationState sum;
  for (int i = 0; i < request.states_size(); ++i) {
    absl::StatusOr<CalibrationState> state =
        FromProto(request.states(i), call.limits().max_calibration_summaries);
    absl::Status status = state.status();
    if (status.ok() && i > 0) status = AddState(*state, sum);
    if (!status.ok())
      return UnderField(absl::StrCat("states[", i, "]"), status);
    if (i == 0) sum = *std::move(state);
  }
  v1::MergeResponse response;
  ToProto(sum, *response.mutable_state());
  return ToReply(Serialize(response));
}

// Whether a method tries many ranges: milliseconds per summary.
bool IsSearch(CalibrationMethod method) {
  return method == CalibrationMethod::kMse ||
         method == CalibrationMethod::kEntropy;
}

absl::StatusOr<CalibrationQuestion> QuestionOf(
    const v1::ComputeParametersRequest& request) {
  const absl::StatusOr<Spec> spec = FromProto(request.spec());
  if (!spec.ok()) return UnderField("spec", spec.status());
  const absl::StatusOr<CalibrationMethod> method = FromProto(request.method());
  if (!method.ok()) return method.status();
  CalibrationQuestion question = {
      .spec = *spec, .method = *method, .quantile = request.quantile()};
  if (request.dtype() != v1::DATA_TYPE_UNSPECIFIED) {
    const absl::StatusOr<DataType> dtype = FromProto(request.dtype());
    if (!dtype.ok()) return dtype.status();
    question.dtype = *dtype;
  }
  return question;
}

absl::StatusOr<Parameters> FromRanges(const v1::KnownRanges& ranges,
                                      const CalibrationQuestion& question,
                                      uint64_t pairs_max) {
  const auto count = static_cast<uint64_t>(ranges.min_size());
  if (count > pairs_max) {
    return LimitError("ranges.min", absl::StrCat(count,
                                                 " ranges; must be at most "
                                                 "max_parameter_pairs, ",
                                                 pairs_max));
  }
  return ComputeParameters(
      std::vector<double>(ranges.min().begin(), ranges.min().end()),
      std::vector<double>(ranges.max().begin(), ranges.max().end()), question);
}

Reply ComputeParameters(const grpc::ByteBuffer& message, Call& call) {
  v1::ComputeParametersRequest request;
  if (absl::Status read = Read(message, call, request); !read.ok()) return read;
  const absl::StatusOr<CalibrationQuestion> question = QuestionOf(request);
  if (!question.ok()) return question.status();
  v1::ComputeParametersResponse response;
  if (request.has_ranges()) {
    const absl::StatusOr<Parameters> parameters = FromRanges(
        request.ranges(), *question, call.limits().max_parameter_pairs);
    if (!parameters.ok()) return parameters.status();
    ToProto(*parameters, *response.mutable_parameters());
    return ToReply(Serialize(response));
  }
  if (!request.has_state()) {
    return FieldError("source", "not set; must be state or ranges");
  }
  if (IsSearch(question->method)) {
    // Longer than the thread that read the request may be busy.
    const absl::StatusOr<Buffer> moved = call.Allocate(
        0, kStateBytesPerByte * message.Length() + kInlineReplyBytesMax + 1);
    if (!moved.ok()) return moved.status();
  }
  const absl::StatusOr<CalibrationState> state =
      FromProto(request.state(), call.limits().max_calibration_summaries);
  if (!state.ok()) return UnderField("state", state.status());
  const absl::StatusOr<CalibratedParameters> result =
      halfstep::ComputeParameters(*state, *question, call.execution());
  if (!result.ok()) return result.status();
  ToProto(result->parameters, *response.mutable_parameters());
  ToProto(result->expected_error, *response.mutable_expected_error());
  return ToReply(Serialize(response));
}

}  // namespace

CalibrationService::CalibrationService(const CallEnvironment& environment)
    : ByteService("halfstep.v1.CalibrationService", environment) {
  ServeStream("Observe", MakeObserveStream);
  Serve("Merge",
        [](const auto& message, Call& call) { return Merge(message, call); });
  Serve("ComputeParameters", [](const auto& message, Call& call) {
    return ComputeParameters(message, call);
  });
}

}  // namespace halfstep

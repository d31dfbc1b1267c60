#include "server/api/observe_stream.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/calibration_observer.h"
#include "core/field_error.h"
#include "halfstep/v1/quantization.pb.h"
#include "server/api/calibration_state.h"
#include "server/api/tensors.h"
#include "server/wire/wire.h"

namespace halfstep {
namespace {

// Bytes that a state takes when it is sent, per byte that it takes here: as a
// message and serialized.
constexpr uint64_t kReplyBytesPerByte = 2;

class ObserveStream final : public StreamHandler {
 public:
  explicit ObserveStream(StreamSession& session) : session_(session) {}

  absl::Status Take(const grpc::ByteBuffer& message) override {
    // The longest message so far may be this one.
    if (absl::Status held = Hold(observer_bytes_); !held.ok()) return held;
    v1::ObserveRequest request;
    Payloads payloads;
    if (absl::Status read = session_.Read(message, request, payloads);
        !read.ok()) {
      return read;
    }
    absl::Status begun = Begin(request);
    if (!begun.ok() || !request.has_tensor()) return begun;
    const absl::StatusOr<RealsInput> reals =
        ReadReals(request.tensor(), payloads.Under(request.kTensorFieldNumber),
                  session_.limits());
    if (!reals.ok()) return UnderField("tensor", reals.status());
    session_.CountElements(
        static_cast<uint64_t>(ElementCount(reals->tensor.shape).value_or(0)));
    return UnderField(
        "tensor",
        observer_->Observe(reals->tensor, session_.execution().cancellation));
  }

  absl::Status TakeEnd() override {
    has_ended_ = true;
    // A stream without a message has seen nothing.
    return observer_.has_value() ? absl::OkStatus()
                                 : Begin(v1::ObserveRequest());
  }

  absl::StatusOr<std::vector<grpc::ByteBuffer>> Next() override {
    std::vector<grpc::ByteBuffer> replies;
    if (!std::exchange(has_ended_, false)) return replies;
    const absl::StatusOr<CalibrationState> state = observer_->Finish();
    if (!state.ok()) return state.status();
    v1::ObserveResponse response;
    ToProto(*state, *response.mutable_state());
    if (const uint64_t bytes = response.ByteSizeLong();
        bytes > session_.limits().max_message_bytes) {
      return LimitError(
          "state", absl::StrCat("a reply of ", bytes,
                                " bytes; must be at most max_message_bytes, ",
                                session_.limits().max_message_bytes));
    }
    replies.push_back(Serialize(response));
    return replies;
  }

  bool is_quick() const override { return true; }

 private:
  // What the first message begins with; all others must leave it out.
  absl::Status Begin(const v1::ObserveRequest& request) {
    const bool is_first = !observer_.has_value();
    if (!is_first && request.begin_case() != request.BEGIN_NOT_SET) {
      return FieldError(request.has_state() ? "state" : "axis",
                        "set; must be in the first message of the stream only");
    }
    if (!is_first) return absl::OkStatus();
    CalibrationObserver::Options options;
    options.summaries_max = session_.limits().max_calibration_summaries;
    options.hold = [this](uint64_t bytes) { return Hold(bytes); };
    if (request.has_state()) {
      absl::StatusOr<CalibrationState> state =
          FromProto(request.state(), options.summaries_max);
      if (!state.ok()) return UnderField("state", state.status());
      state_bytes_ = BytesOf(*state);
      observer_.emplace(*std::move(state), std::move(options));
      return Hold(0);
    }
    std::optional<int32_t> axis;
    if (request.begin_case() == request.kAxis) axis = request.axis();
    observer_.emplace(axis, std::move(options));
    return absl::OkStatus();
  }

  absl::Status Hold(uint64_t observer_bytes) {
    observer_bytes_ = observer_bytes;
    const uint64_t bytes = state_bytes_ + observer_bytes;
    const uint64_t most = session_.limits().max_buffered_bytes;
    if (bytes > most) {
      return LimitError("shape",
                        absl::StrCat(bytes,
                                     " bytes of histograms; must be at most "
                                     "max_buffered_bytes, ",
                                     most, ": observe fewer indices at once"));
    }
    return session_.Hold(kReplyBytesPerByte * bytes);
  }

  StreamSession& session_;
  bool has_ended_ = false;  // and the reply has not been made yet
  std::optional<CalibrationObserver> observer_;
  uint64_t state_bytes_ = 0;     // of the state that it went on from
  uint64_t observer_bytes_ = 0;  // of what it counted
};

}  // namespace

std::unique_ptr<StreamHandler> MakeObserveStream(StreamSession& session) {
  return std::make_unique<ObserveStream>(session);
}

}  // namespace halfstep

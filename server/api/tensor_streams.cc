#include "server/api/tensor_streams.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/dequantize_stream.h"
#include "core/field_error.h"
#include "core/quantize_stream.h"
#include "halfstep/v1/quantization.pb.h"
#include "server/api/convert.h"
#include "server/wire/wire.h"

namespace halfstep {
namespace {

using Replies = std::vector<grpc::ByteBuffer>;

// Pairs per piece of a reply: some 0.8 MiB, as much as a window's codes.
constexpr size_t kPairsPerPiece = 65536;

// Streams that are held back less than this may be computed where they arrive.
constexpr uint64_t kQuickHeldBytes = uint64_t{1} << 20;

TensorStreamLimits LimitsOf(const CallLimits& limits) {
  return {.buffered_bytes_max = limits.max_buffered_bytes,
          .pairs_max = limits.max_parameter_pairs};
}

absl::Status NotFirst(absl::string_view part) {
  return FieldError("header", absl::StrCat("the first message is ", part,
                                           "; must be the header"));
}

PairPiece FromProto(const v1::ParameterPiece& piece) {
  return {.scale = {piece.scale().begin(), piece.scale().end()},
          .zero_point = {piece.zero_point().begin(), piece.zero_point().end()}};
}

// `pairs` as messages of QuantizeStreamResponse.
void AppendPairs(const PairPiece& pairs, Replies& replies) {
  for (size_t at = 0; at < pairs.scale.size(); at += kPairsPerPiece) {
    const size_t end = std::min(pairs.scale.size(), at + kPairsPerPiece);
    v1::QuantizeStreamResponse response;
    v1::ParameterPiece& piece = *response.mutable_parameter_piece();
    piece.mutable_scale()->Add(pairs.scale.data() + at,
                               pairs.scale.data() + end);
    if (!pairs.zero_point.empty()) {
      piece.mutable_zero_point()->Add(pairs.zero_point.data() + at,
                                      pairs.zero_point.data() + end);
    }
    replies.push_back(Serialize(response));
  }
}

template <typename Header>
absl::Span<const int64_t> ShapeOf(const Header& header) {
  return {header.shape().data(), static_cast<size_t>(header.shape().size())};
}

// What both directions do alike. Request is the stream's message, whose bytes
// field is called `payload_name`; Stream is core's.
template <typename Request, typename Stream>
class TensorStream : public StreamHandler {
 public:
  TensorStream(StreamSession& session, absl::string_view payload_name)
      : session_(session), payload_name_(payload_name) {}

  absl::Status Take(const grpc::ByteBuffer& message) final {
    Request request;
    if (absl::Status read = session_.Read(message, request, payloads_);
        !read.ok()) {
      return read;
    }
    // What this message holds back at most comes on top.
    const uint64_t held = stream_ == nullptr ? 0 : stream_->held_bytes();
    absl::Status status = session_.Hold(held + message.Length());
    if (status.ok()) status = TakePart(request);
    return status;
  }

  absl::Status TakeEnd() final {
    if (stream_ == nullptr) return NotFirst("missing");
    has_ended_ = true;
    return stream_->End();
  }

  absl::StatusOr<Replies> Next() final {
    Replies replies = std::exchange(replies_, {});
    if (!replies.empty() || stream_ == nullptr) return replies;
    if (const std::optional<Window> window = stream_->Next()) {
      if (absl::Status run = Run(*window, replies); !run.ok()) return run;
      return replies;
    }
    stream_->Keep();
    if (std::exchange(has_ended_, false)) {
      if (absl::Status ended = AppendEnd(replies); !ended.ok()) return ended;
    }
    return replies;
  }

  bool is_quick() const final {
    return stream_ == nullptr || stream_->held_bytes() <= kQuickHeldBytes;
  }

 protected:
  virtual absl::Status TakeHeader(const Request& request) = 0;
  virtual void PairsTaken(const PairPiece& pairs) = 0;
  virtual absl::Status Run(const Window& window, Replies& replies) = 0;
  virtual absl::Status AppendEnd(Replies& replies) = 0;

  StreamSession& session_;
  std::unique_ptr<Stream> stream_;
  Replies replies_;  // that need no computation

 private:
  absl::Status TakePart(const Request& request) {
    if (request.part_case() == Request::kHeader) {
      if (stream_ == nullptr) return TakeHeader(request);
      return FieldError("header", "sent again; must be sent once, and first");
    }
    if (request.part_case() == Request::PART_NOT_SET) {
      return FieldError("part", absl::StrCat("not set; must be header, "
                                             "parameter_piece or ",
                                             payload_name_));
    }
    const bool is_pairs = request.part_case() == Request::kParameterPiece;
    if (stream_ == nullptr) {
      return NotFirst(is_pairs ? "parameter_piece" : payload_name_);
    }
    if (!is_pairs) return stream_->Add(payloads_.Under(kPayloadField));
    PairPiece pairs = FromProto(request.parameter_piece());
    absl::Status added = stream_->AddPairs(pairs);
    if (!added.ok()) return UnderField("parameter_piece", added);
    PairsTaken(pairs);
    return absl::OkStatus();
  }

  const absl::string_view payload_name_;
  Payloads payloads_;       // what the stream refers to until Keep
  bool has_ended_ = false;  // and the end has not been answered yet
};

class QuantizeHandler final
    : public TensorStream<v1::QuantizeStreamRequest, QuantizeStream> {
 public:
  explicit QuantizeHandler(StreamSession& session)
      : TensorStream(session, "data") {}

 private:
  absl::Status TakeHeader(const v1::QuantizeStreamRequest& request) override {
    absl::StatusOr<std::unique_ptr<QuantizeStream>> stream =
        Begin(request.header());
    if (!stream.ok()) return UnderField("header", stream.status());
    stream_ = *std::move(stream);
    v1::QuantizeStreamResponse response;
    ToProto(stream_->parameters(), *response.mutable_parameters());
    replies_.push_back(Serialize(response));
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<QuantizeStream>> Begin(
      const v1::QuantizeStreamHeader& header) const {
    const absl::StatusOr<DataType> dtype = halfstep::FromProto(header.dtype());
    if (!dtype.ok()) return dtype.status();
    const TensorStreamLimits limits = LimitsOf(session_.limits());
    if (!header.has_parameters()) {
      const absl::StatusOr<Spec> spec = halfstep::FromProto(header.spec());
      if (!spec.ok()) return UnderField("spec", spec.status());
      return QuantizeStream::Dynamic(*spec, *dtype, ShapeOf(header),
                                     header.measure_error(), limits);
    }
    const absl::StatusOr<Parameters> parameters =
        halfstep::FromProto(header.parameters(), limits.pairs_max);
    if (!parameters.ok()) return UnderField("parameters", parameters.status());
    return QuantizeStream::Static(*parameters, *dtype, ShapeOf(header),
                                  header.measure_error(), limits);
  }

  // The reply's pairs are the ones used, so they are sent back.
  void PairsTaken(const PairPiece& pairs) override {
    AppendPairs(pairs, replies_);
  }

  absl::Status Run(const Window& window, Replies& replies) override {
    Buffer codes = session_.Take(stream_->CodeBytesOf(window));
    const absl::StatusOr<PairPiece> chosen =
        stream_->Run(window, session_.execution(), codes.bytes());
    if (!chosen.ok()) return chosen.status();
    AppendPairs(*chosen, replies);
    replies.push_back(JoinPayload(ToSlice(std::move(codes))));
    return absl::OkStatus();
  }

  absl::Status AppendEnd(Replies& replies) override {
    const absl::StatusOr<PairPiece> rest = stream_->Rest(session_.execution());
    if (!rest.ok()) return rest.status();
    AppendPairs(*rest, replies);
    v1::QuantizeStreamResponse response;
    v1::StreamSummary& summary = *response.mutable_summary();
    if (const std::optional<ErrorReport> report = stream_->Report()) {
      ToProto(*report, *summary.mutable_error());
    }
    ToProto(stream_->cuts(), *summary.mutable_cuts());
    summary.set_element_count(static_cast<uint64_t>(stream_->element_count()));
    session_.CountWork(stream_->parameters().spec.scheme,
                       stream_->element_count(), stream_->cuts());
    replies.push_back(Serialize(response));
    return absl::OkStatus();
  }
};

class DequantizeHandler final
    : public TensorStream<v1::DequantizeStreamRequest, DequantizeStream> {
 public:
  explicit DequantizeHandler(StreamSession& session)
      : TensorStream(session, "codes") {}

 private:
  absl::Status TakeHeader(const v1::DequantizeStreamRequest& request) override {
    absl::StatusOr<std::unique_ptr<DequantizeStream>> stream =
        Begin(request.header());
    if (!stream.ok()) return UnderField("header", stream.status());
    stream_ = *std::move(stream);
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<DequantizeStream>> Begin(
      const v1::DequantizeStreamHeader& header) const {
    const absl::StatusOr<DataType> dtype = halfstep::FromProto(header.dtype());
    if (!dtype.ok()) return dtype.status();
    const TensorStreamLimits limits = LimitsOf(session_.limits());
    const absl::StatusOr<Parameters> parameters =
        halfstep::FromProto(header.parameters(), limits.pairs_max);
    if (!parameters.ok()) return UnderField("parameters", parameters.status());
    return DequantizeStream::Begin(*parameters, *dtype, ShapeOf(header),
                                   limits);
  }

  void PairsTaken(const PairPiece&) override {}

  absl::Status Run(const Window& window, Replies& replies) override {
    Buffer reals = session_.Take(stream_->RealBytesOf(window));
    absl::Status done =
        stream_->Run(window, session_.execution(), reals.bytes());
    if (done.ok()) replies.push_back(JoinPayload(ToSlice(std::move(reals))));
    return done;
  }

  absl::Status AppendEnd(Replies& replies) override {
    v1::DequantizeStreamResponse response;
    const auto count = static_cast<uint64_t>(stream_->element_count());
    response.mutable_summary()->set_element_count(count);
    session_.CountElements(count);
    replies.push_back(Serialize(response));
    return absl::OkStatus();
  }
};

}  // namespace

std::unique_ptr<StreamHandler> MakeQuantizeStream(StreamSession& session) {
  return std::make_unique<QuantizeHandler>(session);
}

std::unique_ptr<StreamHandler> MakeDequantizeStream(StreamSession& session) {
  return std::make_unique<DequantizeHandler>(session);
}

}  // namespace halfstep

// The streams of a Client.
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "client/call_status.h"
#include "client/stubs.h"

namespace halfstep {
namespace {

// Cancels a call when nothing has happened for a while.
class Watchdog {
 public:
  Watchdog(grpc::ClientContext& context, absl::Duration patience)
      : context_(context),
        patience_(patience),
        last_(absl::ToUnixNanos(absl::Now())),
        thread_([this] { Watch(); }) {}

  ~Watchdog() {
    done_.Notify();
    thread_.join();
  }

  void Seen() { last_ = absl::ToUnixNanos(absl::Now()); }

  // What the call's status becomes: DEADLINE_EXCEEDED if it was this that
  // cancelled it.
  absl::Status Judge(const grpc::Status& status) const {
    if (status.ok() || !fired_) return FromGrpcStatus(status);
    return absl::DeadlineExceededError(
        absl::StrCat("no message within ", absl::FormatDuration(patience_)));
  }

 private:
  void Watch() {
    while (true) {
      const absl::Time until = absl::FromUnixNanos(last_) + patience_;
      if (done_.WaitForNotificationWithTimeout(until - absl::Now())) return;
      if (absl::Now() < absl::FromUnixNanos(last_) + patience_) continue;
      fired_ = true;
      context_.TryCancel();
      return;
    }
  }

  grpc::ClientContext& context_;
  const absl::Duration patience_;
  std::atomic<int64_t> last_;
  std::atomic<bool> fired_ = false;
  absl::Notification done_;
  std::thread thread_;
};

// Writes what `next` gives until the stream is over. An error of `next`.
template <typename Stream, typename Request>
absl::Status WriteAll(Stream& stream,
                      absl::FunctionRef<absl::StatusOr<bool>(Request&)> next,
                      Watchdog& watchdog, grpc::ClientContext& context) {
  while (true) {
    Request request;
    const absl::StatusOr<bool> more = next(request);
    if (!more.ok()) {
      context.TryCancel();
      return more.status();
    }
    if (!*more) break;
    // False: the call is over, and its status says why.
    if (!stream.Write(request)) return absl::OkStatus();
    watchdog.Seen();
  }
  stream.WritesDone();
  return absl::OkStatus();
}

template <typename Request, typename Response, typename Stub, typename Method>
absl::Status RunStream(Stub& stub, Method method,
                       absl::FunctionRef<absl::StatusOr<bool>(Request&)> next,
                       absl::FunctionRef<absl::Status(Response&)> take,
                       absl::Duration patience) {
  grpc::ClientContext context;
  Watchdog watchdog(context, patience);
  const auto stream = (stub.*method)(&context);
  absl::Status sent;
  std::thread writer([&] {
    sent =
        WriteAll<decltype(*stream), Request>(*stream, next, watchdog, context);
  });
  absl::Status taken;
  Response response;
  while (stream->Read(&response)) {
    watchdog.Seen();
    if (!taken.ok()) continue;
    taken = take(response);
    if (!taken.ok()) context.TryCancel();
  }
  writer.join();
  const grpc::Status status = stream->Finish();
  if (!taken.ok()) return taken;
  if (!sent.ok()) return sent;
  return watchdog.Judge(status);
}

}  // namespace

absl::Status Client::QuantizeStream(Next<v1::QuantizeStreamRequest> next,
                                    Take<v1::QuantizeStreamResponse> take) {
  return RunStream<v1::QuantizeStreamRequest, v1::QuantizeStreamResponse>(
      stubs_->quantization, &v1::QuantizationService::Stub::QuantizeStream,
      next, take, timeout_);
}

absl::Status Client::DequantizeStream(Next<v1::DequantizeStreamRequest> next,
                                      Take<v1::DequantizeStreamResponse> take) {
  return RunStream<v1::DequantizeStreamRequest, v1::DequantizeStreamResponse>(
      stubs_->quantization, &v1::QuantizationService::Stub::DequantizeStream,
      next, take, timeout_);
}

absl::StatusOr<v1::ObserveResponse> Client::Observe(
    Next<v1::ObserveRequest> next) {
  grpc::ClientContext context;
  Watchdog watchdog(context, timeout_);
  v1::ObserveResponse response;
  const auto stream = stubs_->calibration.Observe(&context, &response);
  const absl::Status sent = WriteAll<decltype(*stream), v1::ObserveRequest>(
      *stream, next, watchdog, context);
  const absl::Status status = watchdog.Judge(stream->Finish());
  if (!sent.ok()) return sent;
  if (!status.ok()) return status;
  return response;
}

}  // namespace halfstep

#include "server/call.h"

#include <grpcpp/impl/codegen/server_callback_handlers.h>
#include <grpcpp/impl/rpc_service_method.h>
#include <grpcpp/support/status.h>

#include <algorithm>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "core/field_error.h"
#include "server/grpc_status.h"

namespace halfstep {
namespace {

using Reactor = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

// One call from its first byte to its last. The order is
//
//   Begin -> Admitted -> OnReadDone [-> MoveOn] -> Run -> Finish -> OnDone
//
// with a short cut to Finish from everywhere. Exactly one thread is in charge
// of it at any time, and hands it on; beside it only OnCancel may run. Whoever
// calls Finish touches the call no more: OnDone may delete it at once.
class UnaryCall final : public Reactor,
                        private Admission::Waiter,
                        private Call {
 public:
  UnaryCall(absl::string_view method, const CallHandler& handler,
            const CallEnvironment& environment,
            grpc::CallbackServerContext& context)
      : Call(environment, absl::FromChrono(context.deadline())),
        method_(method),
        handler_(handler),
        context_(context) {}

  void Begin() {
    const uint64_t most = limits().max_message_bytes + kFieldBytesAllowance;
    const absl::Status entered = environment_.admission.Enter(most, *this);
    if (!entered.ok()) End(entered);
  }

 private:
  void Admitted(Ticket ticket) override {
    ticket_ = std::move(ticket);
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      return End(context_.IsCancelled()
                     ? absl::CancelledError("the client has gone")
                     : absl::InvalidArgumentError(absl::StrCat(
                           "request: no message; must be one message of at "
                           "most ",
                           limits().max_message_bytes, " bytes")));
    }
    request_bytes_ = request_.Length();
    // Most replies are no longer than their request; Allocate knows exactly. If
    // there is no room for this guess, the ticket stays as it is, which
    // suffices.
    ticket_.Resize(2 * request_bytes_).IgnoreError();
    is_inline_ = request_bytes_ <= kInlineRequestBytesMax;
    if (is_inline_) return Run();
    MoveOn();
  }

  void OnCancel() override {
    cancellation_.Cancel();
    if (environment_.admission.Leave(*this)) {
      End(absl::CancelledError("cancelled before it was read"));
    }
  }

  void OnDone() override {
    if (environment_.log.IsWanted(status_)) {
      environment_.log.Write({.method = method_,
                              .peer = context_.peer(),
                              .bytes_in = request_bytes_,
                              .bytes_out = reply_bytes_,
                              .queue_time = taken_up_ - arrived_,
                              .compute_time = computed_ - taken_up_,
                              .status = status_});
    }
    delete this;
  }

  // Runs, or runs again, on the executor.
  void MoveOn() {
    is_inline_ = false;
    if (!executor().Submit([this] { Run(); })) {
      End(BusyError("the server is busy: too many calls wait for a thread"));
    }
  }

  void Run() {
    taken_up_ = absl::Now();
    absl::StatusOr<grpc::ByteBuffer> reply = Compute();
    if (is_inline_ && must_move_on_) return MoveOn();
    computed_ = absl::Now();
    request_.Clear();
    if (!reply.ok()) return End(reply.status());
    reply_ = *std::move(reply);
    reply_bytes_ = reply_.Length();
    StartWriteAndFinish(&reply_, grpc::WriteOptions(), grpc::Status::OK);
  }

  absl::StatusOr<grpc::ByteBuffer> Compute() {
    if (absl::Status wanted = cancellation_.Check(); !wanted.ok())
      return wanted;
    try {
      return handler_(request_, *this);
    } catch (const std::bad_alloc&) {
      return BusyError("the server is busy: out of memory");
    }
  }

  void End(absl::Status status) {
    status_ = std::move(status);
    Finish(ToGrpcStatus(status_));
  }

  const absl::string_view method_;
  const CallHandler& handler_;
  grpc::CallbackServerContext& context_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer reply_;
  // For the log.
  absl::Status status_;
  uint64_t reply_bytes_ = 0;
  const absl::Time arrived_ = absl::Now();
  absl::Time taken_up_ = arrived_;
  absl::Time computed_ = arrived_;
};

}  // namespace

absl::StatusOr<Buffer> Call::Allocate(uint64_t payload_bytes,
                                      uint64_t other_bytes) {
  if (payload_bytes > limits().max_message_bytes) {
    return LimitError(
        "tensor.shape",
        absl::StrCat("a reply of ", payload_bytes,
                     " bytes; must be at most max_message_bytes, ",
                     limits().max_message_bytes));
  }
  if (is_inline_ && payload_bytes + other_bytes > kInlineReplyBytesMax) {
    must_move_on_ = true;
    return absl::AbortedError("too much for this thread");
  }
  const uint64_t total = request_bytes_ + payload_bytes + other_bytes;
  const uint64_t most = environment_.options.load.max_bytes_in_flight;
  if (total > most) {
    return LimitError("tensor.shape",
                      absl::StrCat(total,
                                   " bytes for request, reply and "
                                   "parameters; must be at most "
                                   "max_bytes_in_flight, ",
                                   most));
  }
  if (absl::Status held = ticket_.Resize(total); !held.ok()) return held;
  return environment_.buffers->Take(payload_bytes);
}

void ByteService::Serve(absl::string_view method, CallHandler handler) {
  Add(method,
      [this, handler = std::move(handler),
       name = name_.substr(name_.rfind('.') + 1) + "/" +
              std::string(method)](grpc::CallbackServerContext* context) {
        auto* call = new UnaryCall(name, handler, environment_, *context);
        call->Begin();
        return call;
      });
}

void ByteService::Add(
    absl::string_view method,
    std::function<Reactor*(grpc::CallbackServerContext*)> start) {
  using grpc::internal::RpcMethod;
  const auto index = static_cast<int>(paths_.size());
  paths_.push_back(std::make_unique<const std::string>("/" + name_ + "/" +
                                                       std::string(method)));
  // As generated code does it. Registered as a stream of requests and replies,
  // of which the wire knows nothing.
  AddMethod(new grpc::internal::RpcServiceMethod(
      paths_.back()->c_str(), RpcMethod::BIDI_STREAMING, nullptr));
  MarkMethodRawCallback(
      index, new grpc::internal::CallbackBidiHandler<grpc::ByteBuffer,
                                                     grpc::ByteBuffer>(
                 std::move(start)));
}

}  // namespace halfstep

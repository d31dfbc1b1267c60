// One message in, one message out.
#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "server/call/byte_service.h"
#include "server/call/placement.h"
#include "server/wire/grpc_status.h"

namespace halfstep {
namespace {

// The order is
//
//   Begin -> Admitted -> OnReadDone [-> MoveOn] -> Run -> Finish -> OnDone
//
// with a short cut to Finish from everywhere. Exactly one thread is in charge
// of the call at any time, and hands it on; beside it only OnCancel may run,
// which takes over where the call waits: for admission, or for a thread.
// Whoever calls Finish touches the call no more: OnDone may follow at once.
class UnaryCall final : public CallReactor,
                        private Admission::Waiter,
                        private Call {
 public:
  UnaryCall(const ServedMethod& method, const CallHandler& handler,
            const CallEnvironment& environment, RawCall& call)
      : CallReactor(call),
        Call(method, environment, call.context()),
        handler_(handler) {}

  // `self`: this call.
  void Begin(std::shared_ptr<UnaryCall> self) {
    self_ = std::move(self);
    if (absl::Status opened = Open(*this); !opened.ok()) End(opened);
  }

 private:
  void Admitted(Ticket ticket) override {
    ticket_ = std::move(ticket);
    const absl::Time now = absl::Now();
    in_flight_.SetPhase(CallPhase::kReading, now);
    ReadBegins(now);
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    const absl::Time now = absl::Now();
    ReadEnds(ok, request_.Length(), now);
    if (!ok) {
      return End(absl::InvalidArgumentError(
          absl::StrCat("request: no message; must be one message of at most ",
                       limits().max_message_bytes, " bytes")));
    }
    record_.bytes_in = request_.Length();
    is_inline_ =
        IsInline(record_.bytes_in, executor(), environment_.options.io_threads,
                 [this] { return environment_.in_flight.count(); });
    if (is_inline_) return Run(now);
    MoveOn(now);
  }

  void OnCancel() override {
    cancellation_.Cancel();
    if (environment_.admission.Leave(*this)) {
      End(absl::CancelledError("cancelled before it was read"));
    } else if (is_queued_.exchange(false)) {
      request_.Clear();
      End(absl::CancelledError("cancelled while it waited for a thread"));
    }
  }

  void OnDone() override {
    Record();
    self_ = nullptr;
  }

  absl::Status HoldFields() override {
    return ticket_.Resize(
        std::max(ticket_.bytes(), record_.bytes_in + fields_bytes_));
  }

  // Unless Allocate has, which knows exactly. Most replies are no longer than
  // their request; if there is no room for this guess, the ticket stays as it
  // is, which suffices.
  void SizeTicket() {
    if (ticket_.bytes() != limits().request_bytes_max()) return;
    ticket_.Resize(2 * record_.bytes_in).IgnoreError();
  }

  // Runs, or runs again, on the executor.
  void MoveOn(absl::Time now) {
    SizeTicket();
    is_inline_ = false;
    in_flight_.SetPhase(CallPhase::kQueue, now);
    is_queued_.store(true);
    // From here on OnCancel may end the call.
    const std::shared_ptr<UnaryCall> self = self_;
    if (executor().Submit([self] {
          if (self->is_queued_.exchange(false)) self->Run(absl::Now());
        })) {
      return;
    }
    if (is_queued_.exchange(false)) {
      End(BusyError("max_queued_calls", "too many calls wait for a thread"));
    }
  }

  void Run(absl::Time begin) {
    TakenUp(begin);
    in_flight_.SetPhase(CallPhase::kCompute, begin);
    Reply reply = Compute();
    const absl::Time end = absl::Now();
    Computed(end - begin);
    if (is_inline_ && must_move_on_) return MoveOn(end);
    SizeTicket();
    request_.Clear();
    if (!reply.ok()) return End(reply.status());
    reply_.Swap(&*reply);
    Sends(reply_.Length());
    in_flight_.SetPhase(CallPhase::kWriting, end);
    StartWriteAndFinish(reply_, Close(absl::OkStatus()));
  }

  Reply Compute() {
    if (absl::Status wanted = cancellation_.Check(); !wanted.ok())
      return wanted;
    try {
      return handler_(request_, *this);
    } catch (const std::bad_alloc&) {
      return BusyError("memory", "out of memory");
    }
  }

  void End(const absl::Status& status) { Finish(Close(status)); }

  const CallHandler& handler_;
  // Until OnDone; beside it, the executor's queue.
  std::shared_ptr<UnaryCall> self_;
  std::atomic<bool> is_queued_{false};
  grpc::ByteBuffer request_;
  grpc::ByteBuffer reply_;
};

}  // namespace

void StartUnaryCall(const ServedMethod& method, const CallHandler& handler,
                    const CallEnvironment& environment, RawCall& call) {
  auto unary = std::make_shared<UnaryCall>(method, handler, environment, call);
  UnaryCall& begun = *unary;
  begun.Begin(std::move(unary));
}

}  // namespace halfstep

#include "server/call/stream_call.h"

#include <grpcpp/server_context.h>

#include <algorithm>
#include <deque>
#include <new>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "server/call/byte_service.h"
#include "server/call/placement.h"
#include "server/wire/grpc_status.h"

namespace halfstep {
namespace {

// A window's results and what its computation needs beside them.
constexpr uint64_t kWindowBytes = uint64_t{16} << 20;

// One stream from its first byte to its last.
//
// Whatever happens sets a part of the state and calls Pump. One thread at a
// time pumps: it looks at the state, does what it allows (read, compute, write
// or finish), and looks again, without the lock while it acts, since what it
// begins may have ended before it returns. Finish is the last thing done:
// OnDone comes once everything that is under way has come back.
class StreamCall final : public CallReactor,
                         private Admission::Waiter,
                         private StreamSession {
 public:
  static StreamCall* Create(const ServedMethod& method,
                            const StreamHandlerFactory& factory,
                            const CallEnvironment& environment,
                            RawCall& raw_call) {
    auto* call = new StreamCall(method, environment, raw_call);
    call->self_.reset(call);
    call->handler_ = factory(*call);
    return call;
  }

  void Begin() {
    const std::shared_ptr<StreamCall> self = self_;
    if (absl::Status opened = Open(*this); !opened.ok()) {
      Fail(std::move(opened));
    }
  }

 private:
  enum class Action : uint8_t { kNone, kRead, kCompute, kWrite, kFinish };

  StreamCall(const ServedMethod& method, const CallEnvironment& environment,
             RawCall& call)
      : CallReactor(call), StreamSession(method, environment, call.context()) {}

  // --- What happens.

  void Admitted(Ticket ticket) override {
    // OnDone may come before this function is left.
    const std::shared_ptr<StreamCall> self = self_;
    ticket_ = std::move(ticket);
    {
      const absl::MutexLock lock(&mutex_);
      TakenUp(absl::Now());
      admitted_ = true;
    }
    Pump();
  }

  void OnReadDone(bool ok) override {
    ReadEnds(ok, next_message_.Length(), absl::Now());
    {
      const absl::MutexLock lock(&mutex_);
      reading_ = false;
      has_message_ = ok;
      is_half_closed_ = !ok;
    }
    Pump();
  }

  void OnWriteDone(bool ok) override {
    {
      const absl::MutexLock lock(&mutex_);
      writing_ = false;
      if (!ok) SetStatus(absl::CancelledError("the client has gone"));
    }
    Pump();
  }

  void OnCancel() override {
    cancellation_.Cancel();
    if (environment_.admission.Leave(*this)) {
      return Fail(absl::CancelledError("cancelled before it was read"));
    }
    {
      const absl::MutexLock lock(&mutex_);
      if (!is_queued_) return;
      is_queued_ = false;
      computing_ = false;
      message_.Clear();
      SetStatus(absl::CancelledError("cancelled while it waited for a thread"));
    }
    Pump();
  }

  void OnDone() override {
    Record();
    self_ = nullptr;
  }

  void Fail(absl::Status status) {
    {
      const absl::MutexLock lock(&mutex_);
      SetStatus(std::move(status));
    }
    Pump();
  }

  // The first fault counts.
  void SetStatus(absl::Status status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (status_.ok()) status_ = std::move(status);
  }

  // --- What is done about it.

  void Pump() {
    {
      const absl::MutexLock lock(&mutex_);
      if (pumping_) return;  // whoever does looks again
      pumping_ = true;
    }
    while (true) {
      const Action action = NextAction();
      switch (action) {
        case Action::kNone:
          return;
        case Action::kRead:
          ReadBegins(absl::Now());
          StartRead(&next_message_);
          break;
        case Action::kCompute:
          StartCompute();
          break;
        case Action::kWrite:
          StartWrite(reply_);
          break;
        case Action::kFinish:
          Finish(Close(status_));
          return;
      }
    }
  }

  Action NextAction() {
    const absl::MutexLock lock(&mutex_);
    const Action action = Choose();
    if (action == Action::kNone) pumping_ = false;
    in_flight_.SetPhase(Phase(), absl::Now());
    return action;
  }

  // What holds the stream up: the client only if nothing else does.
  CallPhase Phase() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!admitted_) return CallPhase::kAdmission;
    if (is_queued_) return CallPhase::kQueue;
    if (computing_) return CallPhase::kCompute;
    return writing_ ? CallPhase::kWriting : CallPhase::kReading;
  }

  Action Choose() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (computing_ && !status_.ok()) return Action::kNone;
    if (!status_.ok()) return writing_ ? Action::kNone : Action::kFinish;
    if (!admitted_) return Action::kNone;
    if (!reading_ && !has_message_ && !is_half_closed_) {
      reading_ = true;
      return Action::kRead;
    }
    if (!writing_ && !replies_.empty()) {
      writing_ = true;
      reply_.Swap(&replies_.front());
      replies_.pop_front();
      Sends(reply_.Length());
      return Action::kWrite;
    }
    if (computing_ || !replies_.empty()) return Action::kNone;
    if (has_more_ || has_message_ || (is_half_closed_ && !has_ended_)) {
      computing_ = true;
      return Action::kCompute;
    }
    return has_ended_ && !writing_ ? Action::kFinish : Action::kNone;
  }

  void StartCompute() {
    bool is_quick = false;
    {
      const absl::MutexLock lock(&mutex_);
      if (!has_more_ && has_message_) {
        // Hands the message over; the next one may be read meanwhile.
        message_.Swap(&next_message_);
        next_message_.Clear();
        has_message_ = false;
        is_new_ = true;
        is_quick =
            message_.Length() <= kInlineMessageBytesMax && handler_->is_quick();
      }
    }
    if (is_quick) return Compute();
    {
      const absl::MutexLock lock(&mutex_);
      is_queued_ = true;
      queued_since_ = absl::Now();
    }
    if (executor().Submit([self = self_] { self->RunQueued(); })) return;
    const absl::MutexLock lock(&mutex_);
    if (!std::exchange(is_queued_, false)) return;
    computing_ = false;
    SetStatus(BusyError("max_queued_calls",
                        "no thread is free, and too many calls wait for one"));
  }

  // On a thread of the executor, unless the stream was cancelled meanwhile.
  void RunQueued() {
    {
      const absl::MutexLock lock(&mutex_);
      if (!std::exchange(is_queued_, false)) return;
      const absl::Time now = absl::Now();
      Queued(now - queued_since_);
      in_flight_.SetPhase(CallPhase::kCompute, now);
    }
    Compute();
    Pump();
  }

  void Compute() {
    const absl::Time begin = absl::Now();
    absl::StatusOr<std::vector<grpc::ByteBuffer>> replies = Replies();
    if (replies.ok() && replies->empty()) message_.Clear();
    const absl::MutexLock lock(&mutex_);
    Computed(absl::Now() - begin);
    computing_ = false;
    if (!replies.ok()) return SetStatus(replies.status());
    has_more_ = !replies->empty();
    std::move(replies->begin(), replies->end(), std::back_inserter(replies_));
  }

  absl::StatusOr<std::vector<grpc::ByteBuffer>> Replies() {
    if (absl::Status wanted = cancellation_.Check(); !wanted.ok())
      return wanted;
    try {
      if (absl::Status taken = TakeNew(); !taken.ok()) return taken;
      return handler_->Next();
    } catch (const std::bad_alloc&) {
      return BusyError("memory", "out of memory");
    }
  }

  absl::Status TakeNew() {
    if (is_new_) {
      is_new_ = false;
      record_.bytes_in += message_.Length();
      message_bytes_max_ =
          std::max<uint64_t>(message_bytes_max_, message_.Length());
      return handler_->Take(message_);
    }
    bool is_end = false;
    {
      const absl::MutexLock lock(&mutex_);
      is_end = !has_more_;
      if (is_end) has_ended_ = true;
    }
    return is_end ? handler_->TakeEnd() : absl::OkStatus();
  }

  // Until OnDone; beside it, who calls from outside gRPC holds it while
  // calling.
  std::shared_ptr<StreamCall> self_;
  std::unique_ptr<StreamHandler> handler_;

  absl::Mutex mutex_;
  bool pumping_ ABSL_GUARDED_BY(mutex_) = false;
  bool admitted_ ABSL_GUARDED_BY(mutex_) = false;
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;
  bool has_message_ ABSL_GUARDED_BY(mutex_) = false;  // in next_message_
  bool is_half_closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool computing_ ABSL_GUARDED_BY(mutex_) = false;  // or about to
  bool is_queued_ ABSL_GUARDED_BY(mutex_) = false;  // for that
  absl::Time queued_since_ ABSL_GUARDED_BY(mutex_);
  bool has_more_ ABSL_GUARDED_BY(mutex_) = false;   // replies from message_
  bool has_ended_ ABSL_GUARDED_BY(mutex_) = false;  // TakeEnd was called
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;    // reply_
  std::deque<grpc::ByteBuffer> replies_ ABSL_GUARDED_BY(mutex_);

  // Whose it is, the state says: the reader's, the computer's, the writer's.
  grpc::ByteBuffer next_message_;
  grpc::ByteBuffer message_;
  bool is_new_ = false;  // message_ has not been taken yet
  grpc::ByteBuffer reply_;

  // No fault, until there is one.
  absl::Status status_;
};

}  // namespace

absl::Status StreamSession::Hold(uint64_t bytes) {
  held_bytes_ = bytes;
  // The message being computed and the one being read: as long as the longest
  // so far, until one is longer.
  const uint64_t total =
      bytes + fields_bytes_ + 2 * message_bytes_max_ + kWindowBytes;
  if (absl::Status fits = CheckTotal(total); !fits.ok()) return fits;
  return ticket_.Resize(total);
}

void StartStreamCall(const ServedMethod& method,
                     const StreamHandlerFactory& factory,
                     const CallEnvironment& environment, RawCall& call) {
  StreamCall::Create(method, factory, environment, call)->Begin();
}

}  // namespace halfstep

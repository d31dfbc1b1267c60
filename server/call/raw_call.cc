#include "server/call/raw_call.h"

#include <grpcpp/completion_queue.h>
#include <grpcpp/impl/rpc_service_method.h>

#include <utility>

#include "absl/strings/str_cat.h"

namespace halfstep {
namespace {

// Bits of RawCall::reached_.
constexpr int kBegun = 1;
constexpr int kCancelled = 2;

// Calls of a method that may come before one of them is looked at; more wait in
// gRPC. With 32 of 1 KiB in flight 16 make a twentieth more calls a second than
// 8, and 1 a seventh less. But Debian's gRPC goes through all that is awaited
// on each event, so that there is one of a method that has not been called: 16
// of each cost every call 0.2 microseconds.
constexpr int kAwaitedCalls = 16;

}  // namespace

RawCall::RawCall(Method& method, EventLoop& loop)
    : method_(method), loop_(loop) {
  loop_.Enter();
  context_.AsyncNotifyWhenDone(&has_ended_);
  method.service.RequestAsyncBidiStreaming(method.index, &context_, &stream_,
                                           &loop.queue(), &loop.queue(),
                                           &arrived_);
}

void RawCall::Arrived(bool ok) {
  if (!ok) {  // the server shuts down
    delete this;
    return;
  }
  const int more = method_.is_called.exchange(true) ? 1 : kAwaitedCalls;
  for (int i = 0; i < more; ++i) new RawCall(method_, loop_);
  method_.start(*this);
  if ((reached_.fetch_or(kBegun) & kCancelled) != 0) reactor_->OnCancel();
  Release();
}

void RawCall::HasRead(bool ok) {
  reactor_->OnReadDone(ok);
  Release();
}

void RawCall::HasWritten(bool ok) {
  reactor_->OnWriteDone(ok);
  Release();
}

void RawCall::HasFinished(bool /*ok*/) { Release(); }

void RawCall::HasEnded(bool /*ok*/) {
  if (context_.IsCancelled() && (reached_.fetch_or(kCancelled) & kBegun) != 0) {
    reactor_->OnCancel();
  }
  Release();
}

void RawCall::Release() {
  if (--under_way_ > 0) return;
  reactor_->OnDone();
  delete this;
}

void CallReactor::StartRead(grpc::ByteBuffer* message) {
  ++call_.under_way_;
  call_.stream_.Read(message, &call_.has_read_);
}

void CallReactor::StartWrite(const grpc::ByteBuffer& message) {
  ++call_.under_way_;
  call_.stream_.Write(message, &call_.has_written_);
}

void CallReactor::StartWriteAndFinish(const grpc::ByteBuffer& message,
                                      const grpc::Status& status) {
  call_.stream_.WriteAndFinish(message, grpc::WriteOptions(), status,
                               &call_.has_finished_);
}

void CallReactor::Finish(const grpc::Status& status) {
  call_.stream_.Finish(status, &call_.has_finished_);
}

void RawService::Add(absl::string_view method, RawCall::Start start) {
  using grpc::internal::RpcMethod;
  const auto index = static_cast<int>(raw_methods_.size());
  raw_methods_.push_back(std::unique_ptr<RawCall::Method>(new RawCall::Method{
      *this, absl::StrCat("/", name_, "/", method), index, std::move(start)}));
  // As generated code does it. Registered as a stream of requests and replies,
  // of which the wire knows nothing.
  AddMethod(new grpc::internal::RpcServiceMethod(
      raw_methods_.back()->path.c_str(), RpcMethod::BIDI_STREAMING, nullptr));
  MarkMethodAsync(index);
}

void RawService::Open(EventLoop& loop) {
  for (const auto& method : raw_methods_) new RawCall(*method, loop);
}

}  // namespace halfstep

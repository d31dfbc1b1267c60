// Calls on raw bytes, and the services that they are made to: messages come as
// they were sent, and replies go as they are.
//
// On the wire these are unary calls and streams. Inside all are served as
// streams, because a unary handler of gRPC is called only when the whole
// request is in memory: here nothing is read before somebody asks for it.
#ifndef HALFSTEP_SERVER_CALL_RAW_CALL_H_
#define HALFSTEP_SERVER_CALL_RAW_CALL_H_

#include <grpcpp/impl/service_type.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/async_stream.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "server/call/event_loop.h"

namespace halfstep {

class CallReactor;
class RawService;

// gRPC's part of a call: from when it is waited for to when nothing of it is
// left. Owns itself.
class RawCall {
 public:
  // Makes the reactor of a call, which begins.
  using Start = std::function<void(RawCall&)>;

  RawCall(const RawCall&) = delete;
  RawCall& operator=(const RawCall&) = delete;

  // Until CallReactor::OnDone.
  grpc::ServerContext& context() { return context_; }

 private:
  friend class CallReactor;
  friend class RawService;

  struct Method {
    RawService& service;
    const std::string path;  // "/halfstep.v1.QuantizationService/Quantize"
    const int index;         // as gRPC counts the service's methods
    const Start start;
    std::atomic<bool> is_called{false};  // so far
  };

  // Tells `call` of what has happened by `Handler`.
  template <void (RawCall::*Handler)(bool ok)>
  class Told final : public EventLoop::Event {
   public:
    explicit Told(RawCall& call) : call_(call) {}
    void Happened(bool ok) override { (call_.*Handler)(ok); }

   private:
    RawCall& call_;
  };

  RawCall(Method& method, EventLoop& loop);
  ~RawCall() { loop_.Leave(); }

  void Arrived(bool ok);
  void HasRead(bool ok);
  void HasWritten(bool ok);
  void HasFinished(bool ok);
  // By its client, its deadline or its end: nothing more will come.
  void HasEnded(bool ok);
  // One of the things that are under way has ended. The last one ends the call.
  void Release();

  Method& method_;
  EventLoop& loop_;
  Told<&RawCall::Arrived> arrived_{*this};
  Told<&RawCall::HasRead> has_read_{*this};
  Told<&RawCall::HasWritten> has_written_{*this};
  Told<&RawCall::HasFinished> has_finished_{*this};
  Told<&RawCall::HasEnded> has_ended_{*this};
  grpc::ServerContext context_;
  grpc::ServerAsyncReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer> stream_{
      &context_};
  CallReactor* reactor_ = nullptr;
  // The start, the finish, the end, and reads and writes.
  std::atomic<int> under_way_{3};
  // Of kBegun and kCancelled: whoever comes second calls OnCancel.
  std::atomic<int> reached_{0};
};

// What is done about a call: as a reactor of gRPC's callback API.
//
// At most one read and one write may be under way at a time. Exactly one of
// StartWriteAndFinish and Finish is called, and no write after it.
class CallReactor {
 public:
  virtual ~CallReactor() = default;
  CallReactor(const CallReactor&) = delete;
  CallReactor& operator=(const CallReactor&) = delete;

 protected:
  explicit CallReactor(RawCall& call) : call_(call) { call.reactor_ = this; }

  // Each may call back before it returns, on another thread.
  void StartRead(grpc::ByteBuffer* message);
  void StartWrite(const grpc::ByteBuffer& message);
  void StartWriteAndFinish(const grpc::ByteBuffer& message,
                           const grpc::Status& status);
  void Finish(const grpc::Status& status);

 private:
  friend class RawCall;

  // Not `ok`: there is no message any more.
  virtual void OnReadDone(bool ok) = 0;
  // Not `ok`: nobody takes it any more.
  virtual void OnWriteDone(bool /*ok*/) {}
  // Nobody waits for an answer any more. At most once, after the start.
  virtual void OnCancel() {}
  // Everything has ended, OnCancel included; the call goes once this returns.
  virtual void OnDone() = 0;

  RawCall& call_;
};

class RawService : public grpc::Service {
 public:
  // `name`: "halfstep.v1.QuantizationService".
  explicit RawService(absl::string_view name) : name_(name) {}

  // Takes calls from now on. Once, after the server has started.
  void Open(EventLoop& loop);

  const std::string& name() const { return name_; }

 protected:
  // Serves `method` ("Quantize") by what `start` makes.
  void Add(absl::string_view method, RawCall::Start start);

 private:
  friend class RawCall;

  const std::string name_;
  // gRPC keeps pointers to the paths.
  std::vector<std::unique_ptr<RawCall::Method>> raw_methods_;
};

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_CALL_RAW_CALL_H_

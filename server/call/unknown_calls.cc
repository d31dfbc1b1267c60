#include "server/call/unknown_calls.h"

#include <grpcpp/server_builder.h>
#include <grpcpp/support/status.h>

namespace halfstep {
namespace {

// See kAwaitedCalls of server/call/raw_call.cc; nobody is in a hurry here.
constexpr int kAwaitedCalls = 2;

}  // namespace

// Owns itself.
class UnknownCalls::Call final : public EventLoop::Event {
 public:
  Call(grpc::AsyncGenericService& service, EventLoop& loop)
      : service_(service), loop_(loop) {
    loop.Enter();
    service.RequestCall(&context_, &stream_, &loop.queue(), &loop.queue(),
                        this);
  }

  // It has come; then, it has been answered.
  void Happened(bool ok) override {
    if (!ok || is_answered_) {
      delete this;
      return;
    }
    new Call(service_, loop_);
    is_answered_ = true;
    stream_.Finish({grpc::StatusCode::UNIMPLEMENTED, "no such method"}, this);
  }

 private:
  ~Call() { loop_.Leave(); }

  grpc::AsyncGenericService& service_;
  EventLoop& loop_;
  grpc::GenericServerContext context_;
  grpc::GenericServerAsyncReaderWriter stream_{&context_};
  bool is_answered_ = false;
};

void UnknownCalls::Register(grpc::ServerBuilder& builder) {
  builder.RegisterAsyncGenericService(&service_);
}

void UnknownCalls::Open(EventLoop& loop) {
  for (int i = 0; i < kAwaitedCalls; ++i) new Call(service_, loop);
}

}  // namespace halfstep

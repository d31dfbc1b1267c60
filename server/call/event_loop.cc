#include "server/call/event_loop.h"

#include <grpcpp/completion_queue.h>
#include <grpcpp/server_builder.h>

namespace halfstep {

EventLoop::EventLoop(grpc::ServerBuilder& builder)
    : queue_(builder.AddCompletionQueue()) {}

EventLoop::~EventLoop() { Stop(); }

void EventLoop::Start(int threads) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
}

void EventLoop::Stop() {
  if (is_stopped_) return;
  is_stopped_ = true;
  Leave();
  is_empty_.WaitForNotification();
  queue_->Shutdown();
  for (std::thread& thread : threads_) thread.join();
  // gRPC wants the end of its queue to have been seen, also where no thread was
  // started.
  Run();
}

void EventLoop::Run() {
  void* tag = nullptr;
  bool ok = false;
  while (queue_->Next(&tag, &ok)) static_cast<Event*>(tag)->Happened(ok);
}

}  // namespace halfstep

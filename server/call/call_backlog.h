// Calls that gRPC has begun and not ended, as its own bookkeeping sees them.
//
// gRPC parses everything that a connection sends before it lets any call run:
// 40,000 calls that are reset at once pile up half a gigabyte before the first
// of them reaches us. This count knows of them.
#ifndef HALFSTEP_SERVER_CALL_CALL_BACKLOG_H_
#define HALFSTEP_SERVER_CALL_CALL_BACKLOG_H_

#include <grpcpp/server_context.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

namespace halfstep {

class CallBacklog {
 public:
  static constexpr int64_t kAlarmCalls = 256;

  // Counts the calls of the server that is built with it. One at a time.
  // `alarm` is called after each kAlarmCalls calls, from within gRPC's parsing:
  // so while it lasts nothing is read, and it must call nothing of gRPC.
  std::unique_ptr<grpc::ContextAllocator> Counter(std::function<void()> alarm) {
    return std::make_unique<Allocator>(begun_, std::move(alarm));
  }

  // Calls that have begun and not ended, those that run included. Thread-safe.
  size_t count() const {
    const int64_t begun = begun_->load(std::memory_order_relaxed);
    return begun < 0 ? 0 : static_cast<size_t>(begun);
  }

 private:
  using Count = std::shared_ptr<std::atomic<int64_t>>;

  // Leaves the allocating to gRPC: it asks for every call and tells its end.
  class Allocator final : public grpc::ContextAllocator {
   public:
    Allocator(Count begun, std::function<void()> alarm)
        : begun_(std::move(begun)), alarm_(std::move(alarm)) {}

    grpc::CallbackServerContext* NewCallbackServerContext() override {
      const int64_t begun = begun_->fetch_add(1, std::memory_order_relaxed);
      if (begun >= kAlarmCalls && begun % kAlarmCalls == 0) alarm_();
      return nullptr;
    }
    void Release(grpc::CallbackServerContext* /*context*/) override {
      begun_->fetch_sub(1, std::memory_order_relaxed);
    }

   private:
    const Count begun_;
    const std::function<void()> alarm_;
  };

  const Count begun_ = std::make_shared<std::atomic<int64_t>>(0);
};

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_CALL_CALL_BACKLOG_H_

// gRPC's completion queue, and the threads that learn from it what has happened
// to calls.
//
// They read from the sockets, too: whoever waits for an event polls. So a small
// call is read, computed and answered by one thread, without a hand-over. Why
// not gRPC's callback API: docs/adr/0010-a-completion-queue.md.
#ifndef HALFSTEP_SERVER_CALL_EVENT_LOOP_H_
#define HALFSTEP_SERVER_CALL_EVENT_LOOP_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"

namespace grpc {
class ServerBuilder;
class ServerCompletionQueue;
}  // namespace grpc

namespace halfstep {

class EventLoop {
 public:
  // What gRPC is given when something is begun, and gives back when that has
  // ended: its tag.
  class Event {
   public:
    // `ok` as gRPC has it. On one of the threads.
    virtual void Happened(bool ok) = 0;

   protected:
    ~Event() = default;
  };

  // To be part of what `builder` builds, and to outlive that.
  explicit EventLoop(grpc::ServerBuilder& builder);
  // Stop.
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Once, after the server has started.
  void Start(int threads);

  // Once the server has shut down and before it goes: waits for the calls that
  // are left, which may be computed a while.
  void Stop();

  // Around all that begins anything on the queue: gRPC aborts where something
  // is begun on a queue that is shut down, as the end of a call would be that
  // the server has just cancelled. Enter only before Stop, or where something
  // else has entered and not left.
  void Enter() { ++inside_; }
  void Leave() {
    if (--inside_ == 0) is_empty_.Notify();
  }

  grpc::ServerCompletionQueue& queue() { return *queue_; }

 private:
  void Run();

  const std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::vector<std::thread> threads_;
  bool is_stopped_ = false;
  // The loop itself is inside until Stop.
  std::atomic<int64_t> inside_{1};
  absl::Notification is_empty_;
};

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_CALL_EVENT_LOOP_H_

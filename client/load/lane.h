// A thread that takes up replies, the channels it has for itself, and the calls
// in flight on them.
#ifndef HALFSTEP_CLIENT_LOAD_LANE_H_
#define HALFSTEP_CLIENT_LOAD_LANE_H_

#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "client/load/recorder.h"
#include "client/load/run_step.h"
#include "client/load/step.h"
#include "client/load/workload.h"

namespace halfstep::load {

// Of the monotonic clock.
int64_t NowNs();

// What all threads of a step share.
struct StepState {
  const Workload& workload;
  const StepOptions& options;
  const Verifier& verify;
  Window window{};
  // False: the step was stopped, no call is started any more.
  std::atomic<bool> sending{true};
  // True: what is cancelled now was cancelled here.
  std::atomic<bool> cancelling{false};
  std::atomic<int> outstanding{0};
  // Since when every call has failed with UNAVAILABLE; 0 if the last did not.
  std::atomic<int64_t> unavailable_since_ns{0};
  absl::Mutex mutex{};
  absl::Status unavailable ABSL_GUARDED_BY(mutex){};   // the last such status
  absl::Status wrong_answer ABSL_GUARDED_BY(mutex){};  // the first
};

class Lane {
 public:
  // `calls_max` calls in flight at most.
  Lane(StepState& state,
       const std::vector<std::shared_ptr<grpc::Channel>>& channels,
       int calls_max, uint64_t seed);
  // Requires that Join has returned.
  ~Lane();
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  // Starts the thread, which keeps `concurrency` calls going by itself: those
  // of a closed loop, or 0.
  void Run(int concurrency);

  // Open loop: sends a call that was due at `due_ns`, once fewer than calls_max
  // are in flight; one that was due longer ago than a call may take fails
  // instead. Returns when; 0 if the step was stopped first. By one thread at a
  // time.
  int64_t Send(int64_t due_ns);

  // Cancels all calls in flight. Requires !sending and cancelling.
  void CancelAll();

  // Requires that no call is in flight and none is started.
  void Join();

  const Recorder& recorder() const { return recorder_; }
  // Of the thread, in ns. Requires Run before and Join after.
  int64_t CpuNs();

 private:
  struct Call;

  void TakeUp();
  bool Start(Call& call, int64_t due_ns, std::mt19937_64& random);
  void Finish(Call& call);
  void Record(const Call& call, int64_t now_ns);
  void NoteAvailability(const Call& call, int64_t now_ns);
  void Verify(const Call& call);
  void Restart(Call& call, bool failed);
  void Release(Call& call);
  Call& NewCall();

  StepState& state_;
  Recorder recorder_;
  grpc::CompletionQueue queue_;
  std::vector<std::unique_ptr<grpc::GenericStub>> stubs_;
  size_t next_stub_ = 0;
  const int calls_max_;
  std::mt19937_64 send_random_;
  std::mt19937_64 verify_random_;
  absl::Mutex mutex_;
  std::deque<Call> calls_;  // never moved: gRPC has their addresses
  std::vector<Call*> free_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace halfstep::load

#endif  // HALFSTEP_CLIENT_LOAD_LANE_H_

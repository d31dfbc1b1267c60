#include "client/load/lane.h"

#include <grpcpp/alarm.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <pthread.h>

#include <chrono>
#include <ctime>
#include <optional>

#include "absl/time/clock.h"

namespace halfstep::load {
namespace {

// A closed loop that is refused at once would otherwise ask as fast as it can.
constexpr std::chrono::milliseconds kPauseAfterFailure(10);

}  // namespace

int64_t NowNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{1'000'000'000} * now.tv_sec + now.tv_nsec;
}

struct Lane::Call {
  // Held while the call is started or cancelled.
  absl::Mutex mutex;
  // `reader` lives in memory of the context's call: it goes first.
  std::optional<grpc::ClientContext> context;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> reader;
  grpc::ByteBuffer reply;
  grpc::Status status;
  std::optional<grpc::Alarm> alarm;
  bool pausing = false;  // after a failure, until the alarm
  size_t variant = 0;
  int64_t due_ns = 0;
};

Lane::Lane(StepState& state,
           const std::vector<std::shared_ptr<grpc::Channel>>& channels,
           int calls_max, uint64_t seed)
    : state_(state),
      recorder_(state.window),
      calls_max_(calls_max),
      send_random_(seed),
      verify_random_(~seed) {
  for (const std::shared_ptr<grpc::Channel>& channel : channels) {
    stubs_.push_back(std::make_unique<grpc::GenericStub>(channel));
  }
}

Lane::~Lane() = default;

void Lane::Run(int concurrency) {
  // Not to be taken for idle before its first call.
  ++state_.outstanding;
  thread_ = std::thread([this, concurrency] {
    for (int i = 0; i < concurrency; ++i) {
      Call& call = NewCall();
      if (!Start(call, NowNs(), send_random_)) Release(call);
    }
    --state_.outstanding;
    TakeUp();
  });
}

Lane::Call& Lane::NewCall() {
  const absl::MutexLock lock(&mutex_);
  if (free_.empty()) return calls_.emplace_back();
  Call& call = *free_.back();
  free_.pop_back();
  return call;
}

int64_t Lane::Send(int64_t due_ns) {
  const int64_t timeout_ns = absl::ToInt64Nanoseconds(state_.options.timeout);
  {
    const absl::MutexLock lock(&mutex_);
    const auto may_go = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
      return !free_.empty() || calls_.size() < static_cast<size_t>(calls_max_);
    };
    // Not for ever: that the step was stopped wakes nobody.
    while (!mutex_.AwaitWithTimeout(absl::Condition(&may_go),
                                    absl::Milliseconds(20))) {
      if (!state_.sending) return 0;
    }
  }
  const int64_t now_ns = NowNs();
  if (now_ns - due_ns > timeout_ns) {
    static const auto& message = *new std::string("not sent in time");
    recorder_.Record({.due_ns = due_ns,
                      .ended_ns = now_ns,
                      .code = absl::StatusCode::kDeadlineExceeded,
                      .message = &message,
                      .request_bytes = 0,
                      .reply_bytes = 0});
    return now_ns;
  }
  Call& call = NewCall();
  if (Start(call, due_ns, send_random_)) return now_ns;
  Release(call);
  return 0;
}

bool Lane::Start(Call& call, int64_t due_ns, std::mt19937_64& random) {
  const absl::MutexLock lock(&call.mutex);
  if (!state_.sending) return false;
  call.reader.reset();
  call.context.emplace();
  call.context->set_deadline(
      absl::ToChronoTime(absl::Now() + state_.options.timeout));
  call.reply.Clear();
  call.due_ns = due_ns;
  call.variant = state_.workload.Pick(random);
  const Variant& variant = state_.workload.variants()[call.variant];
  grpc::GenericStub& stub = *stubs_[next_stub_];
  next_stub_ = (next_stub_ + 1) % stubs_.size();
  ++state_.outstanding;
  call.reader = stub.PrepareUnaryCall(&*call.context, variant.method,
                                      variant.request, &queue_);
  call.reader->StartCall();
  call.reader->Finish(&call.reply, &call.status, &call);
  return true;
}

void Lane::CancelAll() {
  const absl::MutexLock lock(&mutex_);
  for (Call& call : calls_) {
    const absl::MutexLock call_lock(&call.mutex);
    // Without effect on one that has ended.
    if (call.context.has_value()) call.context->TryCancel();
  }
}

void Lane::TakeUp() {
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) Finish(*static_cast<Call*>(tag));
}

void Lane::Finish(Call& call) {
  const int64_t now_ns = NowNs();
  if (call.pausing) {
    call.pausing = false;
    Restart(call, /*failed=*/false);
  } else {
    Record(call, now_ns);
    NoteAvailability(call, now_ns);
    if (call.status.ok()) Verify(call);
    const bool failed = !call.status.ok();
    if (state_.options.rate > 0) {
      Release(call);
    } else {
      Restart(call, failed);
    }
  }
  --state_.outstanding;
}

void Lane::Record(const Call& call, int64_t now_ns) {
  if (call.status.error_code() == grpc::StatusCode::CANCELLED &&
      state_.cancelling) {
    recorder_.RecordUnfinished(call.due_ns);
    return;
  }
  const std::string message = call.status.error_message();
  recorder_.Record(
      {.due_ns = call.due_ns,
       .ended_ns = now_ns,
       .code = static_cast<absl::StatusCode>(call.status.error_code()),
       .message = &message,
       .request_bytes = state_.workload.variants()[call.variant].request_bytes,
       .reply_bytes = call.status.ok() ? call.reply.Length() : 0});
}

void Lane::NoteAvailability(const Call& call, int64_t now_ns) {
  std::atomic<int64_t>& since = state_.unavailable_since_ns;
  if (call.status.error_code() != grpc::StatusCode::UNAVAILABLE) {
    if (since.load(std::memory_order_relaxed) != 0) since = 0;
    return;
  }
  int64_t never = 0;
  since.compare_exchange_strong(never, now_ns);
  const absl::MutexLock lock(&state_.mutex);
  state_.unavailable = absl::UnavailableError(call.status.error_message());
}

void Lane::Verify(const Call& call) {
  const double fraction = state_.options.verify_fraction;
  if (fraction <= 0 ||
      static_cast<double>(verify_random_() >> 11) * 0x1p-53 >= fraction) {
    return;
  }
  const absl::Status status = state_.verify(call.variant, call.reply);
  recorder_.RecordVerified();
  if (status.ok()) return;
  const absl::MutexLock lock(&state_.mutex);
  if (state_.wrong_answer.ok()) state_.wrong_answer = status;
}

void Lane::Restart(Call& call, bool failed) {
  const int64_t now_ns = NowNs();
  if (!state_.sending || now_ns >= state_.window.end_ns) return Release(call);
  if (failed) {
    call.pausing = true;
    ++state_.outstanding;
    call.alarm.emplace();
    call.alarm->Set(
        &queue_, std::chrono::system_clock::now() + kPauseAfterFailure, &call);
  } else if (!Start(call, now_ns, send_random_)) {
    Release(call);
  }
}

void Lane::Release(Call& call) {
  const absl::MutexLock lock(&mutex_);
  free_.push_back(&call);
}

void Lane::Join() {
  queue_.Shutdown();
  if (thread_.joinable()) thread_.join();
}

int64_t Lane::CpuNs() {
  clockid_t clock = 0;
  timespec used{};
  if (pthread_getcpuclockid(thread_.native_handle(), &clock) != 0 ||
      clock_gettime(clock, &used) != 0) {
    return 0;
  }
  return int64_t{1'000'000'000} * used.tv_sec + used.tv_nsec;
}

}  // namespace halfstep::load

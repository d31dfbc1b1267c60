#include "client/load/run_step.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/grpcpp.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <ctime>

#include "absl/strings/str_cat.h"
#include "client/load/lane.h"
#include "client/service_config.h"

namespace halfstep::load {
namespace {

constexpr absl::Duration kTick = absl::Milliseconds(100);
// A server that restarts, or one of several that goes, is not the end.
constexpr absl::Duration kGoneAfter = absl::Seconds(1);

void SleepUntil(int64_t ns) {
  const timespec until = {.tv_sec = ns / 1'000'000'000,
                          .tv_nsec = ns % 1'000'000'000};
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
}

int64_t ClockNs(clockid_t clock) {
  timespec used{};
  clock_gettime(clock, &used);
  return int64_t{1'000'000'000} * used.tv_sec + used.tv_nsec;
}

int64_t ProcessCpuNs() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto ns = [](const timeval& time) {
    return int64_t{1'000'000'000} * time.tv_sec + int64_t{1'000} * time.tv_usec;
  };
  return ns(usage.ru_utime) + ns(usage.ru_stime);
}

// The thread that sends the calls of an open loop when they are due.
class Pacer {
 public:
  Pacer(StepState& state, std::vector<std::unique_ptr<Lane>>& lanes)
      : state_(state), lanes_(lanes) {}

  void Run(int64_t begin_ns) {
    thread_ = std::thread([this, begin_ns] { Pace(begin_ns); });
  }
  void Join() {
    if (thread_.joinable()) thread_.join();
  }
  int64_t CpuNs() {
    clockid_t clock = 0;
    if (!thread_.joinable() ||
        pthread_getcpuclockid(thread_.native_handle(), &clock) != 0) {
      return 0;
    }
    return ClockNs(clock);
  }
  // Whether everything has been sent.
  bool done() const { return !thread_.joinable() || done_; }
  // After Join.
  uint64_t late() const { return late_; }
  int64_t latest_ns() const { return latest_ns_; }

 private:
  void Pace(int64_t begin_ns) {
    // By default the kernel may wake a thread 50 us late.
    prctl(PR_SET_TIMERSLACK, 1);
    Arrivals arrivals(state_.options.arrivals, state_.options.rate,
                      state_.options.seed);
    for (size_t i = 0;; ++i) {
      const int64_t due_ns = begin_ns + arrivals.Next();
      if (!WaitUntil(due_ns)) break;
      const int64_t sent_ns = lanes_[i % lanes_.size()]->Send(due_ns);
      if (sent_ns == 0) break;
      if (due_ns < state_.window.begin_ns) continue;
      latest_ns_ = std::max(latest_ns_, sent_ns - due_ns);
      if (sent_ns - due_ns > absl::ToInt64Nanoseconds(kLate)) ++late_;
    }
    done_ = true;
  }

  // False if the step is over by then. What is due before its end is sent,
  // however late: calls left out would be those that would have waited longest.
  bool WaitUntil(int64_t due_ns) {
    constexpr int64_t kLongest = 50'000'000;
    while (state_.sending && due_ns < state_.window.end_ns) {
      const int64_t now_ns = NowNs();
      if (now_ns >= due_ns) return true;
      SleepUntil(std::min(due_ns, now_ns + kLongest));
    }
    return false;
  }

  StepState& state_;
  std::vector<std::unique_ptr<Lane>>& lanes_;
  std::thread thread_;
  std::atomic<bool> done_{false};
  uint64_t late_ = 0;
  int64_t latest_ns_ = 0;
};

class StepRun {
 public:
  StepRun(const Workload& workload,
          const std::vector<std::shared_ptr<grpc::Channel>>& channels,
          const StepOptions& options, const Verifier& verify, const Tick& tick)
      : state_{.workload = workload, .options = options, .verify = verify},
        tick_(tick),
        pacer_(state_, lanes_) {
    const size_t count = std::min(
        channels.size(), static_cast<size_t>(std::max(1, options.threads)));
    std::vector<std::vector<std::shared_ptr<grpc::Channel>>> own(count);
    for (size_t i = 0; i < channels.size(); ++i) {
      own[i % count].push_back(channels[i]);
    }
    const int calls_max = Share(options.outstanding_max, 0, count);
    for (size_t i = 0; i < count; ++i) {
      lanes_.push_back(
          std::make_unique<Lane>(state_, own[i], calls_max, options.seed + i));
    }
  }

  StepResult Run() {
    const StepOptions& options = state_.options;
    begin_ns_ = NowNs();
    state_.window.begin_ns =
        begin_ns_ + absl::ToInt64Nanoseconds(options.warmup);
    state_.window.end_ns =
        state_.window.begin_ns + absl::ToInt64Nanoseconds(options.duration);
    const bool open = options.rate > 0;
    for (size_t i = 0; i < lanes_.size(); ++i) {
      lanes_[i]->Run(open ? 0 : Share(options.concurrency, i, lanes_.size()));
    }
    if (open) pacer_.Run(begin_ns_);
    Watch(state_.window.begin_ns);
    const Cpu before = CpuNow();
    const int64_t measure_from_ns = NowNs();
    Watch(state_.window.end_ns);
    const Cpu after = CpuNow();
    const int64_t measured_ns = NowNs() - measure_from_ns;
    Drain();
    pacer_.Join();
    for (const auto& lane : lanes_) lane->Join();
    return Result(before, after, measured_ns);
  }

 private:
  struct Cpu {
    int64_t process_ns = 0;
    std::vector<int64_t> thread_ns;  // the pacer's last
  };

  // What falls to `index` of `count` when `total` is shared out evenly.
  static int Share(int total, size_t index, size_t count) {
    const int n = static_cast<int>(count);
    return (total - static_cast<int>(index) + n - 1) / n;
  }

  Cpu CpuNow() {
    Cpu cpu{.process_ns = ProcessCpuNs(), .thread_ns = {}};
    for (const auto& lane : lanes_) cpu.thread_ns.push_back(lane->CpuNs());
    cpu.thread_ns.push_back(pacer_.CpuNs());
    return cpu;
  }

  void StopNow(Stop why, absl::Status reason) {
    if (stop_ != Stop::kNot) return;
    stop_ = why;
    reason_ = std::move(reason);
    state_.window.end_ns = std::min(state_.window.end_ns.load(), NowNs());
    state_.cancelling = true;
    state_.sending = false;
    for (const auto& lane : lanes_) lane->CancelAll();
  }

  // Looks after the step until `until_ns`, or until it is stopped.
  void Watch(int64_t until_ns) {
    while (stop_ == Stop::kNot && NowNs() < until_ns) {
      SleepUntil(std::min(until_ns, NowNs() + absl::ToInt64Nanoseconds(kTick)));
      Look();
    }
  }

  void Look() {
    if (!tick_(ProgressNow())) StopNow(Stop::kInterrupted, absl::OkStatus());
    absl::Status wrong_answer;
    absl::Status unavailable;
    {
      const absl::MutexLock lock(&state_.mutex);
      wrong_answer = state_.wrong_answer;
      unavailable = state_.unavailable;
    }
    const int64_t since_ns = state_.unavailable_since_ns;
    // Several calls must have had the chance.
    const double gaps = state_.options.rate > 0 ? 3 / state_.options.rate : 0;
    if (!wrong_answer.ok()) {
      StopNow(Stop::kWrongAnswer, wrong_answer);
    } else if (since_ns != 0 && absl::Nanoseconds(NowNs() - since_ns) >
                                    std::max(kGoneAfter, absl::Seconds(gaps))) {
      StopNow(Stop::kServerGone, unavailable);
    }
  }

  // Waits for calls still to be sent and those in flight; deadlines bound it.
  void Drain() {
    int64_t look_ns = NowNs();
    // In this order: the last one sent is in flight before all are sent.
    while (!pacer_.done() || state_.outstanding > 0) {
      SleepUntil(NowNs() + 1'000'000);
      if (stop_ == Stop::kNot && NowNs() >= look_ns) {
        Look();
        look_ns = NowNs() + absl::ToInt64Nanoseconds(kTick);
      }
    }
    const absl::MutexLock lock(&state_.mutex);
    if (stop_ == Stop::kNot && !state_.wrong_answer.ok()) {
      stop_ = Stop::kWrongAnswer;
      reason_ = state_.wrong_answer;
    }
  }

  StepResult SoFar() const {
    StepResult result;
    result.options = state_.options;
    const int64_t end_ns = std::min(state_.window.end_ns.load(), NowNs());
    result.seconds = 1e-9 * static_cast<double>(std::max<int64_t>(
                                0, end_ns - state_.window.begin_ns));
    for (const auto& lane : lanes_) lane->recorder().AddTo(result);
    return result;
  }

  Progress ProgressNow() const {
    const int64_t now_ns = NowNs();
    return {.elapsed = absl::Nanoseconds(now_ns - begin_ns_),
            .total = state_.options.warmup + state_.options.duration,
            .warming_up = now_ns < state_.window.begin_ns,
            .outstanding = state_.outstanding,
            .so_far = [this] { return SoFar(); }};
  }

  StepResult Result(const Cpu& before, const Cpu& after, int64_t measured_ns) {
    StepResult result = SoFar();
    result.stop = stop_;
    result.stop_reason = reason_;
    result.late = pacer_.late();
    result.latest_ns = pacer_.latest_ns();
    const auto share = [&](int64_t cpu_ns) {
      return measured_ns > 0 ? static_cast<double>(cpu_ns) /
                                   static_cast<double>(measured_ns)
                             : 0;
    };
    result.cpu_cores = share(after.process_ns - before.process_ns);
    for (size_t i = 0; i < after.thread_ns.size(); ++i) {
      result.busiest_thread =
          std::max(result.busiest_thread,
                   share(after.thread_ns[i] - before.thread_ns[i]));
    }
    return result;
  }

  StepState state_;
  const Tick& tick_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  Pacer pacer_;
  int64_t begin_ns_ = 0;
  Stop stop_ = Stop::kNot;
  absl::Status reason_;
};

}  // namespace

std::vector<std::shared_ptr<grpc::Channel>> ConnectChannels(
    const std::string& address, int count, const ClientOptions& options,
    const std::vector<ChannelSetting>& settings) {
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (int i = 0; i < count; ++i) {
    grpc::ChannelArguments arguments;
    // First: of two with one name, gRPC takes that.
    for (const auto& [name, value] : settings) arguments.SetInt(name, value);
    arguments.SetMaxReceiveMessageSize(-1);
    arguments.SetMaxSendMessageSize(-1);
    // gRPC would let them share one connection.
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    // A retry would hide a failure, and add its wait to a latency.
    arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
    // Every server behind the address gets its share.
    arguments.SetServiceConfigJSON(ServiceConfig(/*attempts=*/1));
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    if (!options.server_name.empty()) {
      arguments.SetSslTargetNameOverride(options.server_name);
    }
    channels.push_back(grpc::CreateCustomChannel(
        address,
        options.credentials != nullptr ? options.credentials
                                       : grpc::InsecureChannelCredentials(),
        arguments));
  }
  return channels;
}

StepResult RunStep(const Workload& workload,
                   const std::vector<std::shared_ptr<grpc::Channel>>& channels,
                   const StepOptions& options, const Verifier& verify,
                   const Tick& tick) {
  return StepRun(workload, channels, options, verify, tick).Run();
}

}  // namespace halfstep::load

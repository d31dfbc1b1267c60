#include "server/server.h"

#include <grpc/grpc.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "core/simd.h"
#include "server/api/calibration_service.h"
#include "server/api/health_service.h"
#include "server/api/quantization_service.h"
#include "server/call/event_loop.h"
#include "server/call/idle_memory.h"
#include "server/call/unknown_calls.h"
#include "server/network/admin.h"
#include "server/network/begun_calls.h"
#include "server/network/connections.h"
#include "server/network/descriptor_limit.h"
#include "server/network/listener.h"
#include "server/network/transport.h"
#include "server/network/watchdog.h"
#include "server/security/reflection.h"
#include "server/security/security.h"
#include "server/telemetry/metrics.h"
#include "server/telemetry/process_usage.h"
#include "server/telemetry/readiness.h"
#include "server/version.h"

namespace halfstep {
namespace {

// Memory of replies that waits for the next call, as a share of what calls may
// hold: 1 / 4.
constexpr uint64_t kIdleShare = 4;

// Connections are closed once nobody has called for this long, or has not
// stopped calling for that long.
constexpr absl::Duration kQuietTime = absl::Milliseconds(50);
constexpr absl::Duration kQuietTimeMax = absl::Seconds(1);

// How often a shutdown looks whether it must hurry.
constexpr absl::Duration kHurryInterval = absl::Milliseconds(20);

// Calls that are told of when a shutdown hangs.
constexpr size_t kDescribedCallsMax = 10;

constexpr char kQuantization[] = "halfstep.v1.QuantizationService";
constexpr char kCalibration[] = "halfstep.v1.CalibrationService";

}  // namespace

class Server::Impl {
 public:
  explicit Impl(const ServerOptions& options)
      : options_(options),
        executor_({.threads = options.threads,
                   .queued_max = options.load.max_queued_calls}),
        admission_({.bytes_max = options.load.max_bytes_in_flight,
                    .waiting_max = options.load.max_waiting_calls}),
        buffers_(
            BufferPool::Create(options.load.max_bytes_in_flight / kIdleShare)),
        in_flight_(options.load.stall_timeout),
        log_(options.log_level, options.log_format == "json"
                                    ? LogFormat::kJson
                                    : LogFormat::kText),
        security_(options.security,
                  [this](const absl::Status& status, absl::string_view text) {
                    status.ok() ? log_.Note(text) : log_.NoteError(text);
                  }) {}

  ~Impl() { Shutdown(absl::ZeroDuration(), absl::ZeroDuration()); }

  absl::Status Start() {
    if (absl::Status ready = security_.Start(); !ready.ok()) return ready;
    RaiseDescriptorLimit();
    // First, so that it can say that the server is not ready yet.
    if (absl::Status begun = StartAdmin(); !begun.ok()) return begun;
    grpc::ServerBuilder builder;
    SetReflection(HasReflection(options_.security), builder);
    SetTransport(options_, builder);
    absl::StatusOr<std::unique_ptr<Listener>> listener =
        Listener::Create(options_, connections_, log_);
    if (!listener.ok()) return listener.status();
    listener_ = *std::move(listener);
    listener_->Register(
        [this](const std::string& address) {
          return security_.CredentialsFor(address);
        },
        builder);
    loop_ = std::make_unique<EventLoop>(builder);
    const std::initializer_list<RawService*> services = {
        &quantization_, &calibration_, &health_};
    for (RawService* const service : services) builder.RegisterService(service);
    unknown_calls_.Register(builder);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) return absl::InternalError("gRPC did not start");
    loop_->Start(options_.io_threads);
    for (RawService* const service : services) service->Open(*loop_);
    unknown_calls_.Open(*loop_);
    listener_->Start();
    readiness_.Publish(&health_);
    readiness_.Set(Readiness::Condition::kStarted, true);
    StartWatchdog();
    NoteStart();
    return absl::OkStatus();
  }

  void Shutdown(absl::Duration grace, absl::Duration delay) {
    const absl::MutexLock lock(&mutex_);
    if (server_ == nullptr) return;
    log_.Note(absl::StrCat("shutting down with ", in_flight_.count(),
                           " calls in flight"));
    Step("taking calls for the delay");
    readiness_.Set(Readiness::Condition::kNotStopping, false);
    AwaitOrHurry(absl::Now() + delay, [] { return false; });

    const absl::Time deadline = absl::Now() + grace;
    // New calls get UNAVAILABLE from now on, and those in flight go on. gRPC is
    // told last: it would wait for streams of health checks that never end.
    admission_.Close();
    Step("closing the addresses");
    // gRPC would leave connections open that it is handed while it shuts down.
    listener_->Stop();
    Step("stopping the watchdog");
    watchdog_ = nullptr;
    Step("waiting for calls to finish");
    if (AwaitOrHurry(deadline, [this] {
          return admission_.AwaitEmpty(absl::Now() + kHurryInterval);
        })) {
      admission_.AwaitQuiet(kQuietTime,
                            std::min(deadline, absl::Now() + kQuietTimeMax));
      // What closes with bytes on their way loses them.
      Step("waiting for replies to be taken");
      AwaitOrHurry(deadline, [this] {
        return connections_.AwaitSent(absl::Now() + kHurryInterval);
      });
    }
    // Once it shuts down, gRPC answers calls that still reach it by CANCELLED.
    // So it closes all connections first: then callers see UNAVAILABLE.
    Step("closing connections");
    grpc_server_cancel_all_calls(server_->c_server());
    Step("waiting for gRPC");
    readiness_.Publish(nullptr);
    server_->Shutdown(absl::ToChronoTime(absl::Now()));
    server_->Wait();
    loop_->Stop();
    server_ = nullptr;
    Step("cleaning up");
    log_.Note("stopped");
  }

  void Hasten() {
    const absl::MutexLock lock(&step_mutex_);
    is_hurried_ = true;
  }

  std::string DescribeShutdown() const {
    const absl::MutexLock lock(&step_mutex_);
    return absl::StrCat(step_, "; ", in_flight_.count(), " calls in flight: ",
                        in_flight_.Describe(kDescribedCallsMax));
  }

  std::shared_ptr<grpc::Channel> InProcessChannel() {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    arguments.SetMaxSendMessageSize(-1);
    return server_->InProcessChannel(arguments);
  }

  const std::vector<std::string>& addresses() const {
    return listener_->addresses();
  }

  void Reload(const ServerOptions& options) {
    log_.SetLevel(options.log_level);
    security_.Reload();
  }

  CallLog& log() { return log_; }

 private:
  absl::Status StartAdmin() {
    if (options_.admin_listen == "off") return absl::OkStatus();
    const bool is_auto = options_.admin_listen == "auto";
    absl::StatusOr<std::unique_ptr<Admin>> admin = Admin::Start(
        is_auto ? kAdminAddress : options_.admin_listen,
        options_.connection.unix_socket_mode,
        {.metrics = [this] { return metrics_.Text(Readings()); },
         // Takes every lock that calls take: in a deadlock it never answers.
         .alive = [this] { return Readings(), absl::OkStatus(); },
         .ready = [this] { return Ready(); }});
    if (admin.ok()) {
      admin_ = *std::move(admin);
      return absl::OkStatus();
    }
    const std::string fault =
        absl::StrCat("--admin-listen: ", admin.status().message());
    if (!is_auto) return absl::UnavailableError(fault);
    // Nobody asked for this very port, and another server may have it.
    admin_fault_ =
        absl::StrCat(fault, "; goes on without metrics and health over HTTP");
    return absl::OkStatus();
  }

  // Once it serves: a start that fails is told by one line, the caller's.
  void NoteStart() {
    if (admin_ != nullptr)
      log_.Note(absl::StrCat("admin on ", admin_->address()));
    if (!admin_fault_.empty()) log_.NoteWarning(admin_fault_);
    log_.Note(absl::StrCat("serving at ", absl::StrJoin(addresses(), ", "),
                           " with ", options_.threads, " threads; version ",
                           absl::string_view(kVersion.data(), kVersion.size()),
                           ", ", SimdTarget()));
  }

  absl::Status Ready() const {
    if (readiness_.is_ready()) return absl::OkStatus();
    return absl::UnavailableError(
        absl::StrCat("the server is ", readiness_.Describe()));
  }

  ServerReadings Readings() const {
    return {.is_serving = Ready().ok(),
            .bytes_in_flight = admission_.bytes_in_flight(),
            .bytes_in_flight_max = options_.load.max_bytes_in_flight,
            .calls_in_flight = in_flight_.counts(),
            .waiting_calls_max = options_.load.max_waiting_calls,
            .queued_calls_max = options_.load.max_queued_calls,
            .connections = connections_.count(),
            .connections_max = options_.connection.max_connections,
            .connections_refused = connections_.shed(),
            .connections_ended = connections_.ended(),
            .log_lines_dropped = log_.dropped(),
            .certificate_expiry = security_.certificate_expiry(),
            .process = ReadProcessUsage()};
  }

  void Step(absl::string_view step) {
    const absl::MutexLock lock(&step_mutex_);
    step_ = step;
  }

  // Waits until `is_done`, which may take a moment to say so; false if that is
  // not so at `deadline`, or if somebody is in a hurry.
  bool AwaitOrHurry(absl::Time deadline,
                    const std::function<bool()>& is_done) const {
    while (!is_done()) {
      const absl::MutexLock lock(&step_mutex_);
      const absl::Time next = std::min(deadline, absl::Now() + kHurryInterval);
      if (step_mutex_.AwaitWithDeadline(absl::Condition(&is_hurried_), next) ||
          absl::Now() >= deadline) {
        return false;
      }
    }
    return true;
  }

  void StartWatchdog() {
    watchdog_ = std::make_unique<Watchdog>(
        options_.watchdog_interval, listener_->Targets(),
        [this, last = connections_.shed()]() mutable {
          const uint64_t before = std::exchange(last, connections_.shed());
          return before != last;
        },
        [this](bool is_reachable, const std::string& address) {
          log_.NoteError(absl::StrCat(
              address, is_reachable ? ": answers new connections again"
                                    : ": does not answer new connections"));
          readiness_.Set(Readiness::Condition::kReachable, is_reachable);
        });
  }

  // Each is used by those below it, and outlives them.
  const ServerOptions options_;
  Executor executor_;
  Admission admission_;
  const std::shared_ptr<BufferPool> buffers_;
  CallsInFlight in_flight_;
  CallLog log_;
  BegunCalls begun_calls_;
  Connections connections_{options_.connection,
                           [this](absl::string_view peer, bool is_new) {
                             return begun_calls_.On(peer, is_new);
                           }};
  Metrics metrics_{{.version = {kVersion.data(), kVersion.size()},
                    .simd_target = SimdTarget(),
                    .grpc_version = grpc::Version()}};
  const IdleMemory idle_memory_{admission_, *buffers_};
  Security security_;
  const CallEnvironment environment_{.options = options_,
                                     .authorization = security_.authorization(),
                                     .executor = executor_,
                                     .admission = admission_,
                                     .connections = connections_,
                                     .buffers = buffers_,
                                     .in_flight = in_flight_,
                                     .log = log_,
                                     .metrics = metrics_};
  QuantizationService quantization_{environment_};
  CalibrationService calibration_{environment_};
  HealthService health_;
  UnknownCalls unknown_calls_;
  Readiness readiness_{{kQuantization, kCalibration}};
  absl::Mutex mutex_;  // one Shutdown at a time
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<Watchdog> watchdog_;
  mutable absl::Mutex step_mutex_;
  absl::string_view step_ ABSL_GUARDED_BY(step_mutex_) = "not begun";
  bool is_hurried_ ABSL_GUARDED_BY(step_mutex_) = false;
  std::unique_ptr<Admin> admin_;
  std::string admin_fault_;
};

absl::StatusOr<std::unique_ptr<Server>> Server::Start(
    const ServerOptions& options) {
  const absl::StatusOr<ServerOptions> resolved = Resolve(options);
  if (!resolved.ok()) return resolved.status();
  auto impl = std::make_unique<Impl>(*resolved);
  if (absl::Status started = impl->Start(); !started.ok()) return started;
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Server::~Server() = default;

const std::vector<std::string>& Server::addresses() const {
  return impl_->addresses();
}

std::shared_ptr<grpc::Channel> Server::InProcessChannel() {
  return impl_->InProcessChannel();
}

void Server::Shutdown(absl::Duration grace, absl::Duration delay) {
  impl_->Shutdown(grace, delay);
}

void Server::HastenShutdown() { impl_->Hasten(); }

std::string Server::DescribeShutdown() const {
  return impl_->DescribeShutdown();
}

void Server::Reload(const ServerOptions& options) { impl_->Reload(options); }

void Server::LogInfo(absl::string_view text) { impl_->log().Note(text); }

void Server::LogError(absl::string_view text) { impl_->log().NoteError(text); }

}  // namespace halfstep

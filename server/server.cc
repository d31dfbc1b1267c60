#include "server/server.h"

#include <grpc/grpc.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "grpc/health/v1/health.pb.h"
#include "server/calibration_service.h"
#include "server/connections.h"
#include "server/descriptor_limit.h"
#include "server/idle_memory.h"
#include "server/listener.h"
#include "server/quantization_service.h"
#include "server/security.h"
#include "server/transport.h"

namespace halfstep {
namespace {

// Memory of replies that waits for the next call, as a share of what calls may
// hold: 1 / 4.
constexpr uint64_t kIdleShare = 4;

// Connections are closed once nobody has called for this long, or has not
// stopped calling for that long.
constexpr absl::Duration kQuietTime = absl::Milliseconds(50);
constexpr absl::Duration kQuietTimeMax = absl::Seconds(1);

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
        log_(options.log_level),
        security_(options.security,
                  [this](const absl::Status& status, absl::string_view text) {
                    status.ok() ? log_.Note(text) : log_.NoteError(text);
                  }) {}

  ~Impl() { Shutdown(absl::ZeroDuration()); }

  absl::Status Start() {
    grpc::EnableDefaultHealthCheckService(true);
    if (absl::Status ready = security_.Start(); !ready.ok()) return ready;
    if (HasReflection(options_.security)) {
      grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    }
    // Reflection describes what is linked: health would be left out otherwise.
    grpc::health::v1::HealthCheckRequest::descriptor();
    grpc::ServerBuilder builder;
    SetTransport(options_, builder);
    RaiseDescriptorLimit();
    absl::StatusOr<std::unique_ptr<Listener>> listener =
        Listener::Create(options_, connections_, log_);
    if (!listener.ok()) return listener.status();
    listener_ = *std::move(listener);
    listener_->Register(
        [this](const std::string& address) {
          return security_.CredentialsFor(address);
        },
        builder);
    builder.RegisterService(&quantization_);
    builder.RegisterService(&calibration_);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) return absl::InternalError("gRPC did not start");
    SetServing(true);
    listener_->Start();
    return absl::OkStatus();
  }

  void Shutdown(absl::Duration grace) {
    absl::MutexLock lock(&mutex_);
    if (server_ == nullptr) return;
    const absl::Time deadline = absl::Now() + grace;
    SetServing(false);
    // New calls get UNAVAILABLE from now on, and those in flight go on. gRPC is
    // told last: it would wait for streams of health checks that never end.
    admission_.Close();
    if (admission_.AwaitEmpty(deadline)) {
      admission_.AwaitQuiet(kQuietTime,
                            std::min(deadline, absl::Now() + kQuietTimeMax));
    }
    // Once it shuts down, gRPC answers calls that still reach it by CANCELLED.
    // So it closes all connections first: then callers see UNAVAILABLE.
    // gRPC would leave connections open that it is handed from here on.
    listener_->Stop();
    grpc_server_cancel_all_calls(server_->c_server());
    server_->Shutdown(absl::ToChronoTime(absl::Now()));
    server_->Wait();
    server_ = nullptr;
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
  void SetServing(bool serving) {
    grpc::HealthCheckServiceInterface* health =
        server_->GetHealthCheckService();
    health->SetServingStatus(serving);
    health->SetServingStatus(kQuantization, serving);
    health->SetServingStatus(kCalibration, serving);
  }

  // Each is used by those below it, and outlives them.
  const ServerOptions options_;
  Executor executor_;
  Admission admission_;
  const std::shared_ptr<BufferPool> buffers_;
  CallsInFlight in_flight_;
  CallLog log_;
  Connections connections_{options_.connection};
  const IdleMemory idle_memory_{admission_, *buffers_};
  Security security_;
  const CallEnvironment environment_{.options = options_,
                                     .authorization = security_.authorization(),
                                     .executor = executor_,
                                     .admission = admission_,
                                     .connections = connections_,
                                     .buffers = buffers_,
                                     .in_flight = in_flight_,
                                     .log = log_};
  QuantizationService quantization_{environment_};
  CalibrationService calibration_{environment_};
  absl::Mutex mutex_;  // one Shutdown at a time
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Listener> listener_;
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

void Server::Shutdown(absl::Duration grace) { impl_->Shutdown(grace); }

void Server::Reload(const ServerOptions& options) { impl_->Reload(options); }

void Server::LogInfo(absl::string_view text) { impl_->log().Note(text); }

void Server::LogError(absl::string_view text) { impl_->log().NoteError(text); }

}  // namespace halfstep

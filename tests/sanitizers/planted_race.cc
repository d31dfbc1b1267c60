// A race, planted where calls are computed: ThreadSanitizer must find it
// through gRPC's threads and through the executor's, with all that it is told
// and spared.
//
//   planted_race polling    in handlers that run where gRPC's events are taken
//   planted_race executor   in handlers that run on the executor
//   planted_race guarded    in neither: behind a lock, where nothing may be
//   found
//
// The service is of the server's own making: its calls live and end as others
// do.
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "server/call/byte_service.h"
#include "server/call/call.h"
#include "server/call/event_loop.h"
#include "server/call/placement.h"
#include "server/security/security.h"
#include "tests/server/raw_client.h"

namespace halfstep {
namespace {

constexpr char kName[] = "halfstep.test.Planted";
constexpr int kCalls = 2;

class Planted final : public ByteService {
 public:
  Planted(const CallEnvironment& environment, bool is_guarded)
      : ByteService(kName, environment), is_guarded_(is_guarded) {
    Serve("Count", [this](const grpc::ByteBuffer& request, Call&) {
      Meet();
      if (is_guarded_) {
        const absl::MutexLock lock(&mutex_);
        Count();
      } else {
        Count();
      }
      return absl::StatusOr<grpc::ByteBuffer>(request);
    });
  }

  int counted() const { return counted_; }

 private:
  // The race: nothing orders the calls that count.
  void Count() { counted_ = counted_ + 1; }

  // Two calls are here at a time. Orders nothing between them.
  void Meet() {
    arrived_.fetch_add(1, std::memory_order_relaxed);
    const absl::Time patience = absl::Now() + absl::Seconds(20);
    while (arrived_.load(std::memory_order_relaxed) < kCalls &&
           absl::Now() < patience) {
      std::this_thread::yield();
    }
  }

  const bool is_guarded_;
  std::atomic<int> arrived_{0};
  absl::Mutex mutex_;
  int counted_ = 0;
};

// Serves one round of calls with messages of `message_bytes`, and returns
// whether all were answered.
bool ServeOnce(bool is_guarded, size_t message_bytes) {
  ServerOptions options;
  options.threads = kCalls;
  options.log_level = "off";
  options.load.max_bytes_in_flight = uint64_t{1} << 30;
  Executor executor({.threads = options.threads});
  Admission admission({.bytes_max = options.load.max_bytes_in_flight,
                       .waiting_max = options.load.max_waiting_calls});
  const auto buffers = BufferPool::Create(0);
  CallsInFlight in_flight(options.load.stall_timeout);
  CallLog log(options.log_level, LogFormat::kText);
  const Connections connections(options.connection);
  Metrics metrics({});
  const Security security(options.security,
                          [](const absl::Status&, absl::string_view) {});
  const CallEnvironment environment{.options = options,
                                    .authorization = security.authorization(),
                                    .executor = executor,
                                    .admission = admission,
                                    .connections = connections,
                                    .buffers = buffers,
                                    .in_flight = in_flight,
                                    .log = log,
                                    .metrics = metrics};
  Planted service(environment, is_guarded);
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  EventLoop loop(builder);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  loop.Start(kCalls);
  service.Open(loop);
  std::atomic<int> answered{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < kCalls; ++i) {
    callers.emplace_back([port, message_bytes, &answered] {
      grpc::ChannelArguments arguments;
      arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
      const auto channel = grpc::CreateCustomChannel(
          "127.0.0.1:" + std::to_string(port),
          grpc::InsecureChannelCredentials(), arguments);
      const std::string message(message_bytes, 'x');
      std::string reply;
      const grpc::Status status = CallWithBytes(
          *channel, "/halfstep.test.Planted/Count", message, &reply);
      if (status.ok() && reply == message) answered.fetch_add(1);
    });
  }
  for (std::thread& caller : callers) caller.join();
  server->Shutdown();
  loop.Stop();
  std::printf("%d answered, %d counted\n", answered.load(), service.counted());
  return answered == kCalls;
}

}  // namespace
}  // namespace halfstep

int main(int argc, char** argv) {
  const absl::string_view where = argc > 1 ? argv[1] : "";
  const size_t quick = 16;
  // Never computed where it was read.
  const size_t long_enough = halfstep::kSometimesInlineRequestBytesMax + 1;
  if (where == "polling") return halfstep::ServeOnce(false, quick) ? 0 : 1;
  if (where == "executor") {
    return halfstep::ServeOnce(false, long_enough) ? 0 : 1;
  }
  if (where == "guarded") {
    return halfstep::ServeOnce(true, quick) &&
                   halfstep::ServeOnce(true, long_enough)
               ? 0
               : 1;
  }
  std::fprintf(stderr, "usage: planted_race polling|executor|guarded\n");
  return 2;
}

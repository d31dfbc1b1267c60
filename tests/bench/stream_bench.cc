// Streams beside a stream that does nothing with the same bytes.
//
//   stream_bench [MIB [ROUNDS]]
//
// Sends MIB MiB of float32 in messages of 1 MiB, and takes what comes back:
//
//   nothing    raw bytes in, a quarter of them out, as 8-bit codes would be
//   quantize   QuantizeStream, static, one scale
//   swallow    raw bytes in, one message out
//   observe    Observe
//
// One process per server, each with the server's own transport settings; rounds
// take turns. Prints the median rate of each, and what a second of the server's
// processors moved.
#include <fcntl.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/support/sync_stream.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "halfstep/v1/quantization.pb.h"
#include "server/network/transport.h"
#include "server/options.h"
#include "server/server.h"

namespace halfstep {
namespace {

constexpr size_t kMessageBytes = size_t{1} << 20;

// --- Servers.

// Reads on while it writes, one message ahead as the server does; answers each
// message with a quarter of its bytes, or all of them with one message at the
// end.
class NothingCall final : public grpc::ServerGenericBidiReactor {
 public:
  explicit NothingCall(bool swallows) : swallows_(swallows) {
    StartRead(&request_);
  }

 private:
  void OnReadDone(bool ok) override {
    if (swallows_) {
      if (ok) return StartRead(&request_);
      Reply(1);
      return StartWriteAndFinish(&reply_, grpc::WriteOptions(),
                                 grpc::Status::OK);
    }
    bool writes = false;
    {
      const absl::MutexLock lock(&mutex_);
      (ok ? waits_ : ends_) = true;
      writes = ok && !writing_;
      if (writes) Take();
    }
    if (writes) {
      WriteTaken();
    } else if (!ok) {
      FinishIfDone();
    }
  }

  void OnWriteDone(bool) override {
    bool writes = false;
    {
      const absl::MutexLock lock(&mutex_);
      writing_ = false;
      writes = waits_;
      if (writes) Take();
    }
    if (writes) {
      WriteTaken();
    } else {
      FinishIfDone();
    }
  }

  void OnDone() override { delete this; }

  void Take() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    waits_ = false;
    writing_ = true;
    Reply(request_.Length() / 4);
    request_.Clear();
  }

  void WriteTaken() {
    // The read first: once the write is done, both may call back.
    StartRead(&request_);
    StartWrite(&reply_);
  }

  void FinishIfDone() {
    {
      const absl::MutexLock lock(&mutex_);
      if (!ends_ || writing_ || waits_ || is_finished_) return;
      is_finished_ = true;
    }
    Finish(grpc::Status::OK);
  }

  void Reply(size_t bytes) {
    static const std::vector<char>* const memory =
        new std::vector<char>(kMessageBytes);
    const grpc::Slice slice(memory->data(), std::min(bytes, memory->size()),
                            grpc::Slice::STATIC_SLICE);
    reply_ = grpc::ByteBuffer(&slice, 1);
  }

  const bool swallows_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer reply_;
  absl::Mutex mutex_;
  bool waits_ ABSL_GUARDED_BY(mutex_) = false;  // a request to be answered
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool ends_ ABSL_GUARDED_BY(mutex_) = false;  // the client has half-closed
  bool is_finished_ ABSL_GUARDED_BY(mutex_) = false;
};

class NothingService final : public grpc::CallbackGenericService {
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    return new NothingCall(context->method() == "/nothing/Swallow");
  }
};

[[noreturn]] void ServeNothing(int ready) {
  NothingService service;
  grpc::ServerBuilder builder;
  SetTransport(*Resolve(ServerOptions()), builder);
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterCallbackGenericService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  const std::string address = "127.0.0.1:" + std::to_string(port);
  if (write(ready, address.c_str(), address.size() + 1) < 0) _exit(1);
  pause();
  _exit(0);
}

[[noreturn]] void ServeHalfstep(int ready) {
  ServerOptions options;
  options.listen = {"127.0.0.1:0"};
  options.log_level = "off";
  auto server = Server::Start(options);
  if (!server.ok()) _exit(1);
  const std::string address = (*server)->addresses()[0];
  if (write(ready, address.c_str(), address.size() + 1) < 0) _exit(1);
  pause();
  _exit(0);
}

struct Process {
  pid_t id;
  std::string address;

  // Seconds of processor that it has used.
  double ProcessorSeconds() const {
    const std::string path = "/proc/" + std::to_string(id) + "/stat";
    std::FILE* file = std::fopen(path.c_str(), "r");
    unsigned long user = 0;
    unsigned long system = 0;
    const int read = std::fscanf(
        file,
        "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
        &user, &system);
    std::fclose(file);
    if (read != 2) std::abort();
    return static_cast<double>(user + system) /
           static_cast<double>(sysconf(_SC_CLK_TCK));
  }
};

// Before this process starts gRPC's threads, which a fork does not take along.
Process Fork(void (*serve)(int)) {
  int ends[2];
  if (pipe(ends) != 0) std::abort();
  const pid_t id = fork();
  if (id == 0) serve(ends[1]);
  std::string address;
  char character = 0;
  while (read(ends[0], &character, 1) == 1 && character != '\0') {
    address.push_back(character);
  }
  return {id, address};
}

// --- The client.

grpc::ByteBuffer Serialized(const google::protobuf::Message& message) {
  const grpc::Slice slice(message.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

// What is sent: `first`, then `each` until the tensor is whole.
struct Traffic {
  std::string method;
  grpc::ByteBuffer first;
  grpc::ByteBuffer each;
};

Traffic QuantizeTraffic(const std::string& method, size_t mib,
                        const std::string& reals) {
  v1::QuantizeStreamRequest header;
  header.mutable_header()->set_dtype(v1::DATA_TYPE_FLOAT32);
  header.mutable_header()->add_shape(
      static_cast<int64_t>(mib * kMessageBytes / sizeof(float)));
  header.mutable_header()->mutable_parameters()->add_scale(0.03);
  header.mutable_header()->mutable_parameters()->add_zero_point(128);
  v1::QuantizeStreamRequest data;
  data.set_data(reals);
  return {method, Serialized(header), Serialized(data)};
}

Traffic ObserveTraffic(const std::string& method, const std::string& reals) {
  v1::ObserveRequest request;
  request.mutable_tensor()->set_dtype(v1::DATA_TYPE_FLOAT32);
  request.mutable_tensor()->add_shape(
      static_cast<int64_t>(reals.size() / sizeof(float)));
  request.mutable_tensor()->set_data(reals);
  return {method, Serialized(v1::ObserveRequest()), Serialized(request)};
}

struct Round {
  double seconds;
  double server_seconds;
};

Round Run(const std::shared_ptr<grpc::Channel>& channel, const Process& server,
          const Traffic& traffic, size_t messages) {
  using Stream = grpc::ClientReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer>;
  const double before = server.ProcessorSeconds();
  const auto begin = std::chrono::steady_clock::now();
  grpc::ClientContext context;
  const grpc::internal::RpcMethod method(
      traffic.method.c_str(), grpc::internal::RpcMethod::BIDI_STREAMING,
      channel);
  const std::unique_ptr<Stream> stream(
      grpc::internal::ClientReaderWriterFactory<
          grpc::ByteBuffer, grpc::ByteBuffer>::Create(channel.get(), method,
                                                      &context));
  std::thread reader([&] {
    grpc::ByteBuffer reply;
    while (stream->Read(&reply)) reply.Clear();
  });
  stream->Write(traffic.first);
  for (size_t i = 0; i < messages; ++i) stream->Write(traffic.each);
  stream->WritesDone();
  reader.join();
  const grpc::Status status = stream->Finish();
  if (!status.ok()) {
    std::fprintf(stderr, "%s: %s\n", traffic.method.c_str(),
                 status.error_message().c_str());
    std::exit(1);
  }
  const std::chrono::duration<double> seconds =
      std::chrono::steady_clock::now() - begin;
  return {seconds.count(), server.ProcessorSeconds() - before};
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

int Main(size_t mib, size_t rounds) {
  const Process nothing = Fork(ServeNothing);
  const Process halfstep = Fork(ServeHalfstep);
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> reals(kMessageBytes / sizeof(float));
  for (float& real : reals) real = normal(random);
  const std::string bytes(reinterpret_cast<const char*>(reals.data()),
                          kMessageBytes);
  struct Kind {
    const char* name;
    const Process& server;
    Traffic traffic;
    std::vector<double> rates;
    std::vector<double> rates_per_core;
  };
  const std::string quantization = "/halfstep.v1.QuantizationService/";
  const std::string calibration = "/halfstep.v1.CalibrationService/";
  Kind kinds[] = {
      {"nothing",
       nothing,
       QuantizeTraffic("/nothing/Echo", mib, bytes),
       {},
       {}},
      {"quantize",
       halfstep,
       QuantizeTraffic(quantization + "QuantizeStream", mib, bytes),
       {},
       {}},
      {"swallow", nothing, ObserveTraffic("/nothing/Swallow", bytes), {}, {}},
      {"observe",
       halfstep,
       ObserveTraffic(calibration + "Observe", bytes),
       {},
       {}},
  };
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  for (size_t round = 0; round <= rounds; ++round) {
    for (Kind& kind : kinds) {
      const auto channel = grpc::CreateCustomChannel(
          kind.server.address, grpc::InsecureChannelCredentials(), arguments);
      const Round result = Run(channel, kind.server, kind.traffic, mib);
      if (round == 0) continue;  // connections, memory
      const double gigabytes = static_cast<double>(mib * kMessageBytes) / 1e9;
      kind.rates.push_back(gigabytes / result.seconds);
      kind.rates_per_core.push_back(gigabytes / result.server_seconds);
    }
  }
  std::printf("%-10s %8s %22s\n", "", "GB/s", "GB per server-second");
  for (const Kind& kind : kinds) {
    std::printf("%-10s %8.2f %22.2f\n", kind.name, Median(kind.rates),
                Median(kind.rates_per_core));
  }
  std::printf("quantize / nothing: %.2f\nobserve / swallow: %.2f\n",
              Median(kinds[1].rates) / Median(kinds[0].rates),
              Median(kinds[3].rates) / Median(kinds[2].rates));
  for (const Process& process : {nothing, halfstep}) {
    kill(process.id, SIGTERM);
    waitpid(process.id, nullptr, 0);
  }
  return 0;
}

}  // namespace
}  // namespace halfstep

int main(int argc, char** argv) {
  const size_t mib = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 1024;
  const size_t rounds = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 9;
  return halfstep::Main(mib, rounds);
}

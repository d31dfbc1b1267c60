// What the server is measured against over RPC, with the same transport and
// allocator settings as the server itself:
//
//   nothing    takes raw bytes, looks at none, answers with as many bytes as
//              8-bit codes of the tensor would be: what moving the bytes costs
//   reactor    nothing on gRPC's callback API; the others but generated have a
//              completion queue, as the server itself
//   bare       nothing that quantizes the tensor: no message is parsed, and
//              nothing is bounded, counted or logged. What a server that
//              computes can reach at best
//   parsed     bare, and reads and writes the messages of the API, with the
//              server's own zero-copy reader. What a server that speaks the API
//              can reach at best
//   generated  the same core behind generated messages: `bytes data` is parsed
//              into a string, the codes are made in another
//
//   peer_server KIND ADDRESS [ARGUMENT=INTEGER...]
//
// A KIND is one of the above. An ARGUMENT is one of gRPC's channel arguments,
// in place of what server/network/transport.cc says:
// grpc.http2.max_frame_size=16384. Prints `listening on ADDRESS` and serves
// until SIGTERM.
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <signal.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "core/executor.h"
#include "core/quantize.h"
#include "halfstep/v1/quantization.grpc.pb.h"
#include "server/api/convert.h"
#include "server/call/event_loop.h"
#include "server/call/freed_memory.h"
#include "server/call/placement.h"
#include "server/call/raw_call.h"
#include "server/network/transport.h"
#include "server/options.h"
#include "server/wire/grpc_status.h"
#include "server/wire/wire.h"

namespace halfstep {
namespace {

// Replies of the server that does nothing: memory that is there already.
constexpr size_t kReplyBytesMax = size_t{64} << 20;

constexpr char kService[] = "halfstep.v1.QuantizationService";

// What the load tester asks before it begins.
v1::GetServerInfoResponse Info() {
  v1::GetServerInfoResponse info;
  info.set_max_message_bytes(CallLimits().max_message_bytes);
  return info;
}

void AppendVarint(uint64_t value, std::string& out) {
  for (; value >= 0x80; value >>= 7) {
    out.push_back(static_cast<char>(value | 0x80));
  }
  out.push_back(static_cast<char>(value));
}

// What stands before `codes` bytes in a QuantizeResponse {tensor {codes}}: the
// load tester reads one reply before it begins.
std::string ReplyHeader(size_t codes) {
  std::string inner;
  AppendVarint(1000 << 3 | 2, inner);
  AppendVarint(codes, inner);
  std::string header;
  AppendVarint(3 << 3 | 2, header);
  AppendVarint(inner.size() + codes, header);
  return header + inner;
}

// Such a response.
grpc::ByteBuffer BareReply(grpc::Slice codes) {
  const grpc::Slice slices[] = {ReplyHeader(codes.size()), std::move(codes)};
  return grpc::ByteBuffer(slices, 2);
}

// One call on raw bytes.
class PeerCall : public CallReactor {
 public:
  explicit PeerCall(RawCall& call) : CallReactor(call) {}
  void Begin() { StartRead(&request_); }

 protected:
  // The request is there: to end with Reply or Finish, on any thread.
  virtual void Answer() = 0;

  void Reply(grpc::ByteBuffer reply) {
    reply_ = std::move(reply);
    StartWriteAndFinish(reply_, grpc::Status::OK);
  }

  grpc::ByteBuffer request_;

 private:
  void OnReadDone(bool ok) override {
    ok ? Answer() : Finish(grpc::Status::CANCELLED);
  }
  void OnDone() override { delete this; }

  grpc::ByteBuffer reply_;
};

class InfoCall final : public PeerCall {
 public:
  using PeerCall::PeerCall;

 private:
  void Answer() override { Reply(Serialize(Info())); }
};

// Quantize, by what `make` makes.
class PeerService : public RawService {
 protected:
  explicit PeerService(std::function<PeerCall*(RawCall&)> make)
      : RawService(kService) {
    Add("Quantize",
        [make = std::move(make)](RawCall& call) { make(call)->Begin(); });
    Add("GetServerInfo", [](RawCall& call) { (new InfoCall(call))->Begin(); });
  }
};

// Replies of memory that is there already.
class Nothing {
 public:
  // As long as the codes of `request`.
  grpc::ByteBuffer ReplyTo(const grpc::ByteBuffer& request) const {
    const size_t size = std::min(request.Length() / 4, memory_.size());
    return BareReply(
        grpc::Slice(memory_.data(), size, grpc::Slice::STATIC_SLICE));
  }

 private:
  const std::vector<char> memory_ = std::vector<char>(kReplyBytesMax, 1);
};

class NothingService final : public PeerService {
 public:
  NothingService()
      : PeerService(
            [this](RawCall& call) { return new Call(call, nothing_); }) {}

 private:
  class Call final : public PeerCall {
   public:
    Call(RawCall& call, const Nothing& nothing)
        : PeerCall(call), nothing_(nothing) {}

   private:
    void Answer() override {
      grpc::ByteBuffer reply = nothing_.ReplyTo(request_);
      request_.Clear();
      Reply(std::move(reply));
    }
    const Nothing& nothing_;
  };

  const Nothing nothing_;
};

class ReactorService final : public grpc::CallbackGenericService {
 public:
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    return new Call(nothing_, absl::EndsWith(context->method(), "Info"));
  }

 private:
  class Call final : public grpc::ServerGenericBidiReactor {
   public:
    Call(const Nothing& nothing, bool asks_for_info)
        : nothing_(nothing), asks_for_info_(asks_for_info) {
      StartRead(&request_);
    }

   private:
    void OnReadDone(bool ok) override {
      if (!ok) return Finish(grpc::Status::CANCELLED);
      reply_ = asks_for_info_ ? Serialize(Info()) : nothing_.ReplyTo(request_);
      request_.Clear();
      StartWriteAndFinish(&reply_, grpc::WriteOptions(), grpc::Status::OK);
    }
    void OnDone() override { delete this; }

    const Nothing& nothing_;
    const bool asks_for_info_;
    grpc::ByteBuffer request_;
    grpc::ByteBuffer reply_;
  };

  const Nothing nothing_;
};

// Where calls are computed: as the server itself has it, but that *generated*
// knows of a call only once it is parsed, and then by its payload.
class Computer {
 public:
  explicit Computer(int io_threads) : io_threads_(io_threads) {}

  // A call has come, and has gone.
  void Begun() { ++in_flight_; }
  void Ended() { --in_flight_; }

  // Calls `compute` with whether it is to stay on its thread, now or on the
  // executor. `bytes`: of the request. False if the executor is full.
  bool Run(size_t bytes, std::function<void(bool is_alone)> compute) {
    const auto in_flight = [this] { return in_flight_.load(); };
    if (IsInline(bytes, executor_, io_threads_, in_flight)) {
      compute(true);
      return true;
    }
    return executor_.Submit([compute = std::move(compute)] { compute(false); });
  }

  // Float32, per tensor, dynamic, asymmetric, 8 bits: only what is measured.
  absl::StatusOr<QuantizeResult> Quantize(const QuantizePlan& plan,
                                          const Pieces& reals, bool is_alone,
                                          absl::Span<std::byte> codes) {
    const Cancellation never;
    return halfstep::Quantize(plan, reals, false, {executor_, never, is_alone},
                              codes);
  }

 private:
  const int io_threads_;
  Executor executor_{{}};
  std::atomic<size_t> in_flight_{0};
};

// Quantizes; with `parses` it reads and writes the messages of the API, too.
class ComputingService final : public PeerService {
 public:
  ComputingService(bool parses, int io_threads)
      : PeerService([this](RawCall& call) { return new Call(call, *this); }),
        parses_(parses),
        computer_(io_threads) {}

 private:
  struct Coded {
    QuantizeResult result;
    grpc::Slice codes;
  };

  class Call final : public PeerCall {
   public:
    Call(RawCall& call, ComputingService& service)
        : PeerCall(call), service_(service) {
      service_.computer_.Begun();
    }
    ~Call() override { service_.computer_.Ended(); }

   private:
    void Answer() override {
      const bool taken =
          service_.computer_.Run(request_.Length(), [this](bool is_alone) {
            absl::StatusOr<grpc::ByteBuffer> reply =
                service_.parses_ ? Parsed(is_alone) : Bare(is_alone);
            request_.Clear();
            if (!reply.ok()) return Finish(ToGrpcStatus(reply.status()));
            Reply(*std::move(reply));
          });
      if (!taken) Finish(grpc::Status(grpc::RESOURCE_EXHAUSTED, "busy"));
    }

    absl::StatusOr<grpc::ByteBuffer> Bare(bool is_alone) {
      std::vector<grpc::Slice> slices;
      if (!request_.Dump(&slices).ok()) return absl::InternalError("no slices");
      // Sizes are whole KiB, and the payload comes last.
      const size_t bytes = request_.Length() / 1024 * 1024;
      size_t before = request_.Length() - bytes;
      Pieces reals;
      for (const grpc::Slice& slice : slices) {
        const size_t skipped = std::min(before, slice.size());
        before -= skipped;
        reals.Append(
            {reinterpret_cast<const std::byte*>(slice.begin() + skipped),
             slice.size() - skipped});
      }
      const int64_t shape[] = {static_cast<int64_t>(bytes / sizeof(float))};
      absl::StatusOr<Coded> coded = Code(Spec(), reals, shape, is_alone);
      if (!coded.ok()) return coded.status();
      return BareReply(std::move(coded->codes));
    }

    absl::StatusOr<grpc::ByteBuffer> Parsed(bool is_alone) {
      v1::QuantizeRequest request;
      Payloads payloads;
      const absl::Status split =
          Split(request_, request, payloads,
                [](uint64_t) { return absl::OkStatus(); });
      if (!split.ok()) return split;
      const absl::StatusOr<Spec> spec = FromProto(request.spec());
      if (!spec.ok()) return spec.status();
      absl::StatusOr<Coded> coded =
          Code(*spec, payloads.Under(v1::QuantizeRequest::kTensorFieldNumber),
               request.tensor().shape(), is_alone);
      if (!coded.ok()) return coded.status();
      v1::QuantizeResponse response;
      ToProto(coded->result.cuts, *response.mutable_cuts());
      v1::QuantizedTensor tensor;
      *tensor.mutable_shape() = request.tensor().shape();
      tensor.set_dtype(request.tensor().dtype());
      ToProto(coded->result.parameters, *tensor.mutable_parameters());
      return Join(response, v1::QuantizeResponse::kTensorFieldNumber, tensor,
                  std::move(coded->codes));
    }

    absl::StatusOr<Coded> Code(const Spec& spec, const Pieces& reals,
                               absl::Span<const int64_t> shape, bool is_alone) {
      const auto plan =
          QuantizePlan::Dynamic(spec, DataType::kFloat32, shape, 1);
      if (!plan.ok()) return plan.status();
      Buffer codes = service_.buffers_->Take(plan->code_bytes());
      absl::StatusOr<QuantizeResult> result =
          service_.computer_.Quantize(*plan, reals, is_alone, codes.bytes());
      if (!result.ok()) return result.status();
      return Coded{*std::move(result), ToSlice(std::move(codes))};
    }

    ComputingService& service_;
  };

  const bool parses_;
  const std::shared_ptr<BufferPool> buffers_ =
      BufferPool::Create(size_t{1} << 30);
  Computer computer_;
};

class GeneratedService final : public v1::QuantizationService::CallbackService {
 public:
  explicit GeneratedService(int io_threads) : computer_(io_threads) {}

  grpc::ServerUnaryReactor* Quantize(grpc::CallbackServerContext* context,
                                     const v1::QuantizeRequest* request,
                                     v1::QuantizeResponse* response) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    computer_.Begun();
    const bool taken = computer_.Run(
        request->tensor().data().size(),
        [this, request, response, reactor](bool is_alone) {
          const grpc::Status status = Compute(*request, *response, is_alone);
          computer_.Ended();
          reactor->Finish(status);
        });
    if (!taken) {
      computer_.Ended();
      reactor->Finish(grpc::Status(grpc::RESOURCE_EXHAUSTED, "busy"));
    }
    return reactor;
  }

  grpc::ServerUnaryReactor* GetServerInfo(
      grpc::CallbackServerContext* context, const v1::GetServerInfoRequest*,
      v1::GetServerInfoResponse* response) override {
    *response = Info();
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

 private:
  grpc::Status Compute(const v1::QuantizeRequest& request,
                       v1::QuantizeResponse& response, bool is_alone) {
    const std::string& data = request.tensor().data();
    const auto plan = QuantizePlan::Dynamic(Spec(), DataType::kFloat32,
                                            request.tensor().shape(), 1);
    if (!plan.ok()) return ToGrpcStatus(plan.status());
    v1::QuantizedTensor& tensor = *response.mutable_tensor();
    *tensor.mutable_shape() = request.tensor().shape();
    tensor.set_dtype(request.tensor().dtype());
    std::string& codes = *tensor.mutable_codes();
    codes.resize(plan->code_bytes());
    const auto result = computer_.Quantize(
        *plan,
        Pieces({reinterpret_cast<const std::byte*>(data.data()), data.size()}),
        is_alone, {reinterpret_cast<std::byte*>(codes.data()), codes.size()});
    if (!result.ok()) return ToGrpcStatus(result.status());
    tensor.mutable_parameters()->add_scale(result->parameters.scale[0]);
    tensor.mutable_parameters()->add_zero_point(
        result->parameters.zero_point[0]);
    return grpc::Status::OK;
  }

  Computer computer_;
};

// Adds `text`, NAME=INTEGER.
bool AddArgument(const std::string& text, grpc::ServerBuilder& builder) {
  const std::vector<std::string> parts = absl::StrSplit(text, '=');
  int value = 0;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[1], &value)) return false;
  builder.AddChannelArgument(parts[0], value);
  return true;
}

int Serve(const std::string& mode, const std::string& address,
          const std::vector<std::string>& arguments) {
  // Waited for below; blocked in every thread that gRPC starts.
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  pthread_sigmask(SIG_BLOCK, &stop, nullptr);

  grpc::ServerBuilder builder;
  ServerOptions defaults;
  defaults.listen = {address};
  const auto options = Resolve(defaults);
  if (!options.ok()) return 2;
  // Before the others: of two with one name, gRPC takes the first.
  for (const std::string& argument : arguments) {
    if (AddArgument(argument, builder)) continue;
    std::fprintf(stderr, "peer_server: %s; must be NAME=INTEGER\n",
                 argument.c_str());
    return 2;
  }
  SetTransport(*options, builder);
  int port = 0;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port);
  ReactorService reactor;
  std::unique_ptr<GeneratedService> generated;
  std::unique_ptr<RawService> raw;
  std::unique_ptr<EventLoop> loop;
  if (mode == "reactor") {
    builder.RegisterCallbackGenericService(&reactor);
  } else if (mode == "generated") {
    generated = std::make_unique<GeneratedService>(options->io_threads);
    builder.RegisterService(generated.get());
  } else {
    if (mode == "nothing") {
      raw = std::make_unique<NothingService>();
    } else {
      raw = std::make_unique<ComputingService>(mode == "parsed",
                                               options->io_threads);
    }
    loop = std::make_unique<EventLoop>(builder);
    builder.RegisterService(raw.get());
  }
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || port == 0) {
    std::fprintf(stderr, "peer_server: %s cannot be bound\n", address.c_str());
    return 1;
  }
  if (loop != nullptr) {
    loop->Start(options->io_threads);
    raw->Open(*loop);
  }
  const bool is_unix = address.rfind("unix:", 0) == 0;
  std::printf("listening on %s\n",
              is_unix ? address.c_str()
                      : (address.substr(0, address.rfind(':')) + ":" +
                         std::to_string(port))
                            .c_str());
  std::fflush(stdout);
  int signal = 0;
  sigwait(&stop, &signal);
  server->Shutdown(std::chrono::system_clock::now());
  if (loop != nullptr) loop->Stop();
  server = nullptr;
  return 0;
}

}  // namespace
}  // namespace halfstep

int main(int argc, char** argv) {
  const std::string mode = argc >= 3 ? argv[1] : "";
  if (mode != "nothing" && mode != "reactor" && mode != "bare" &&
      mode != "parsed" && mode != "generated") {
    std::fprintf(
        stderr,
        "usage: peer_server nothing|reactor|bare|parsed|generated ADDRESS "
        "[ARGUMENT=INTEGER...]\n");
    return 2;
  }
  halfstep::KeepFreedMemory();
  return halfstep::Serve(mode, argv[2], {argv + 3, argv + argc});
}

// What the server is measured against over RPC, with the same transport and
// allocator settings as the server itself:
//
//   nothing    takes raw bytes, looks at none, answers with as many bytes as
//              8-bit codes of the tensor would be: what moving the bytes costs
//   generated  the same core behind generated messages: `bytes data` is parsed
//              into a string, the codes are made in another
//
//   peer_server nothing|generated ADDRESS [ARGUMENT=INTEGER...]
//
// An ARGUMENT is one of gRPC's channel arguments, in place of what
// server/network/transport.cc says: grpc.http2.max_frame_size=16384.
// Prints `listening on ADDRESS` and serves until SIGTERM.
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <signal.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "core/executor.h"
#include "core/quantize.h"
#include "halfstep/v1/quantization.grpc.pb.h"
#include "server/call/freed_memory.h"
#include "server/network/transport.h"
#include "server/options.h"

namespace halfstep {
namespace {

// Replies of the server that does nothing: memory that is there already.
constexpr size_t kReplyBytesMax = size_t{64} << 20;

const std::string kService = "/halfstep.v1.QuantizationService/";

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

class NothingCall final : public grpc::ServerGenericBidiReactor {
 public:
  NothingCall(const std::vector<char>& memory, const std::string& method)
      : memory_(memory), asks_for_info_(method == kService + "GetServerInfo") {
    if (asks_for_info_ || method == kService + "Quantize") {
      StartRead(&request_);
    } else {
      Finish(grpc::Status(grpc::UNIMPLEMENTED, method));
    }
  }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::CANCELLED);
    const size_t size = std::min(request_.Length() / 4, memory_.size());
    request_.Clear();
    const grpc::Slice slices[] = {
        asks_for_info_ ? Info().SerializeAsString() : ReplyHeader(size),
        grpc::Slice(memory_.data(), size, grpc::Slice::STATIC_SLICE)};
    reply_ = grpc::ByteBuffer(slices, asks_for_info_ ? 1 : 2);
    StartWriteAndFinish(&reply_, grpc::WriteOptions(), grpc::Status::OK);
  }
  void OnDone() override { delete this; }

  const std::vector<char>& memory_;
  const bool asks_for_info_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer reply_;
};

class NothingService final : public grpc::CallbackGenericService {
 public:
  NothingService() : memory_(kReplyBytesMax, 1) {}
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    return new NothingCall(memory_, context->method());
  }

 private:
  const std::vector<char> memory_;
};

// Only what is measured: float32, per tensor, dynamic, asymmetric, 8 bits.
class GeneratedService final : public v1::QuantizationService::CallbackService {
 public:
  grpc::ServerUnaryReactor* Quantize(grpc::CallbackServerContext* context,
                                     const v1::QuantizeRequest* request,
                                     v1::QuantizeResponse* response) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    const auto compute = [this, request, response, reactor](bool is_alone) {
      const grpc::Status status = Compute(*request, *response, is_alone);
      --in_flight_;
      reactor->Finish(status);
    };
    // As the server itself has it: server/call/unary_call.cc.
    const bool is_busy = ++in_flight_ > executor_.threads();
    if (request->tensor().data().size() <=
        (is_busy ? kInlineRequestBytesMaxWhenBusy : kInlineRequestBytesMax)) {
      compute(true);
    } else if (!executor_.Submit([compute] { compute(false); })) {
      --in_flight_;
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
    if (!plan.ok()) {
      return grpc::Status(grpc::INVALID_ARGUMENT,
                          std::string(plan.status().message()));
    }
    v1::QuantizedTensor& tensor = *response.mutable_tensor();
    *tensor.mutable_shape() = request.tensor().shape();
    tensor.set_dtype(request.tensor().dtype());
    std::string& codes = *tensor.mutable_codes();
    codes.resize(plan->code_bytes());
    const Cancellation never;
    const auto result = halfstep::Quantize(
        *plan,
        Pieces({reinterpret_cast<const std::byte*>(data.data()), data.size()}),
        false, {executor_, never, is_alone},
        {reinterpret_cast<std::byte*>(codes.data()), codes.size()});
    if (!result.ok()) {
      return grpc::Status(grpc::INVALID_ARGUMENT,
                          std::string(result.status().message()));
    }
    tensor.mutable_parameters()->add_scale(result->parameters.scale[0]);
    tensor.mutable_parameters()->add_zero_point(
        result->parameters.zero_point[0]);
    return grpc::Status::OK;
  }

  Executor executor_{{}};
  // Calls that have come and are not computed.
  std::atomic<int> in_flight_{0};
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
  std::unique_ptr<NothingService> nothing;
  std::unique_ptr<GeneratedService> generated;
  if (mode == "nothing") {
    nothing = std::make_unique<NothingService>();
    builder.RegisterCallbackGenericService(nothing.get());
  } else {
    generated = std::make_unique<GeneratedService>();
    builder.RegisterService(generated.get());
  }
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || port == 0) {
    std::fprintf(stderr, "peer_server: %s cannot be bound\n", address.c_str());
    return 1;
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
  return 0;
}

}  // namespace
}  // namespace halfstep

int main(int argc, char** argv) {
  const std::string mode = argc >= 3 ? argv[1] : "";
  if (mode != "nothing" && mode != "generated") {
    std::fprintf(stderr,
                 "usage: peer_server nothing|generated ADDRESS "
                 "[ARGUMENT=INTEGER...]\n");
    return 2;
  }
  halfstep::KeepFreedMemory();
  return halfstep::Serve(mode, argv[2], {argv + 3, argv + argc});
}

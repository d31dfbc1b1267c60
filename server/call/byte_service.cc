#include "server/call/byte_service.h"

#include <grpcpp/impl/codegen/server_callback_handlers.h>
#include <grpcpp/impl/rpc_service_method.h>

#include <utility>

#include "absl/strings/str_cat.h"

namespace halfstep {

void ByteService::Serve(absl::string_view method, CallHandler handler) {
  Add(method, [this, handler = std::move(handler),
               served = Served(method)](grpc::CallbackServerContext* context) {
    return StartUnaryCall(served, handler, environment_, *context);
  });
}

void ByteService::ServeStream(absl::string_view method,
                              StreamHandlerFactory factory) {
  Add(method, [this, factory = std::move(factory),
               served = Served(method)](grpc::CallbackServerContext* context) {
    return StartStreamCall(served, factory, environment_, *context);
  });
}

ServedMethod ByteService::Served(absl::string_view method) const {
  return {absl::StrCat(name_.substr(name_.rfind('.') + 1), "/", method),
          environment_.metrics.ForMethod(name_, method)};
}

void ByteService::Add(
    absl::string_view method,
    std::function<ByteReactor*(grpc::CallbackServerContext*)> start) {
  using grpc::internal::RpcMethod;
  const auto index = static_cast<int>(paths_.size());
  paths_.push_back(std::make_unique<const std::string>(
      absl::StrCat("/", name_, "/", method)));
  // As generated code does it. Registered as a stream of requests and replies,
  // of which the wire knows nothing.
  AddMethod(new grpc::internal::RpcServiceMethod(
      paths_.back()->c_str(), RpcMethod::BIDI_STREAMING, nullptr));
  MarkMethodRawCallback(
      index, new grpc::internal::CallbackBidiHandler<grpc::ByteBuffer,
                                                     grpc::ByteBuffer>(
                 std::move(start)));
}

}  // namespace halfstep

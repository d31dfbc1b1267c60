#include "server/call/byte_service.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace halfstep {

void ByteService::Serve(absl::string_view method, CallHandler handler) {
  Add(method, [this, handler = std::move(handler),
               served = Served(method)](RawCall& call) {
    StartUnaryCall(served, handler, environment_, call);
  });
}

void ByteService::ServeStream(absl::string_view method,
                              StreamHandlerFactory factory) {
  Add(method, [this, factory = std::move(factory),
               served = Served(method)](RawCall& call) {
    StartStreamCall(served, factory, environment_, call);
  });
}

ServedMethod ByteService::Served(absl::string_view method) const {
  const absl::string_view service = name();
  return {absl::StrCat(service.substr(service.rfind('.') + 1), "/", method),
          environment_.metrics.ForMethod(name(), method)};
}

}  // namespace halfstep

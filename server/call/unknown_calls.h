// Calls of methods that nobody serves: UNIMPLEMENTED, before anything of them
// is read. gRPC would answer them from a thread each as long as a synchronous
// service, such as reflection, is there.
#ifndef HALFSTEP_SERVER_CALL_UNKNOWN_CALLS_H_
#define HALFSTEP_SERVER_CALL_UNKNOWN_CALLS_H_

#include <grpcpp/generic/async_generic_service.h>

#include "server/call/event_loop.h"

namespace halfstep {

// Outlives the server.
class UnknownCalls {
 public:
  // To be part of what `builder` builds.
  void Register(grpc::ServerBuilder& builder);

  // Takes calls from now on. Once, after the server has started.
  void Open(EventLoop& loop);

 private:
  class Call;

  grpc::AsyncGenericService service_;
};

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_CALL_UNKNOWN_CALLS_H_

// Calls on raw bytes: one message in, one message out.
//
// On the wire these are unary calls. Inside they are served as streams, because
// a unary handler of gRPC is called only when the whole request is in memory:
// here nothing is read before admission has given the call a ticket for it.
#ifndef HALFSTEP_SERVER_CALL_H_
#define HALFSTEP_SERVER_CALL_H_

#include <grpcpp/impl/service_type.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/executor.h"
#include "server/admission.h"
#include "server/buffer_pool.h"
#include "server/call_log.h"
#include "server/options.h"

namespace halfstep {

// What all calls of a server share.
struct CallEnvironment {
  const ServerOptions& options;
  Executor& executor;
  Admission& admission;
  std::shared_ptr<BufferPool> buffers;
  CallLog& log;
};

// One call, as the code that computes its reply sees it.
class Call {
 public:
  Call(const CallEnvironment& environment, absl::Time deadline)
      : environment_(environment), cancellation_(deadline) {}

  const CallLimits& limits() const { return environment_.options.call; }
  Executor& executor() { return environment_.executor; }
  Execution execution() { return {environment_.executor, cancellation_}; }

  // Memory for a reply's payload of `payload_bytes`, once the call's ticket
  // covers it and `other_bytes` more that the reply will need.
  // RESOURCE_EXHAUSTED if the payload is over max_message_bytes
  // ("tensor.shape"), or if the server has no room for it now.
  // ABORTED if the reply is too long for the thread that the call runs on: a
  // handler passes that on as any error, and is called again elsewhere.
  absl::StatusOr<Buffer> Allocate(uint64_t payload_bytes, uint64_t other_bytes);

 protected:
  const CallEnvironment& environment_;
  Cancellation cancellation_;
  Ticket ticket_;
  uint64_t request_bytes_ = 0;
  bool is_inline_ = false;     // on the thread that read the request
  bool must_move_on_ = false;  // from there to the executor
};

// Computes the serialized reply to a serialized request. Runs on a thread of
// the executor, or where the request arrived if that is small.
using CallHandler = std::function<absl::StatusOr<grpc::ByteBuffer>(
    const grpc::ByteBuffer&, Call&)>;

// server/stream_call.h
class StreamHandler;
class StreamSession;
using StreamHandlerFactory =
    std::function<std::unique_ptr<StreamHandler>(StreamSession&)>;

// A service whose methods are CallHandlers.
class ByteService : public grpc::Service {
 public:
  // `name`         "halfstep.v1.QuantizationService".
  // `environment`  outlives the service.
  ByteService(absl::string_view name, const CallEnvironment& environment)
      : name_(name), environment_(environment) {}

 protected:
  // Serves `method` ("Quantize"). One message in, one out.
  void Serve(absl::string_view method, CallHandler handler);

  // The same for a stream of messages, either way.
  void ServeStream(absl::string_view method, StreamHandlerFactory factory);

 private:
  using Reactor = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;
  void Add(absl::string_view method,
           std::function<Reactor*(grpc::CallbackServerContext*)> start);

  const std::string name_;
  const CallEnvironment& environment_;
  // What methods are called on the wire: gRPC keeps pointers to it.
  std::vector<std::unique_ptr<const std::string>> paths_;
};

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_CALL_H_

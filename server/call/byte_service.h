// A service on raw bytes: its methods take serialized messages as they came,
// and give back serialized replies. Nothing is read before admission has given
// the call a ticket for it.
#ifndef HALFSTEP_SERVER_CALL_BYTE_SERVICE_H_
#define HALFSTEP_SERVER_CALL_BYTE_SERVICE_H_

#include <grpcpp/support/byte_buffer.h>

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/call/call.h"
#include "server/call/raw_call.h"

namespace halfstep {

// A serialized reply.
using Reply = absl::StatusOr<grpc::ByteBuffer>;

// `message` as a reply. gRPC's buffers are copied where others would move: by
// this they are not.
inline Reply ToReply(grpc::ByteBuffer message) {
  Reply reply(absl::in_place);
  reply->Swap(&message);
  return reply;
}

// Computes the reply to a serialized request. Runs on a thread of the executor,
// or where the request arrived if that is small.
using CallHandler = std::function<Reply(const grpc::ByteBuffer&, Call&)>;

// server/call/stream_call.h
class StreamHandler;
class StreamSession;
using StreamHandlerFactory =
    std::function<std::unique_ptr<StreamHandler>(StreamSession&)>;

class ByteService : public RawService {
 public:
  // `name`         "halfstep.v1.QuantizationService".
  // `environment`  outlives the service.
  ByteService(absl::string_view name, const CallEnvironment& environment)
      : RawService(name), environment_(environment) {}

 protected:
  // Serves `method` ("Quantize"). One message in, one message out.
  void Serve(absl::string_view method, CallHandler handler);

  // The same for a stream of messages, either way.
  void ServeStream(absl::string_view method, StreamHandlerFactory factory);

 private:
  ServedMethod Served(absl::string_view method) const;

  const CallEnvironment& environment_;
};

// The reactors, which own themselves.
void StartUnaryCall(const ServedMethod& method, const CallHandler& handler,
                    const CallEnvironment& environment, RawCall& call);
void StartStreamCall(const ServedMethod& method,
                     const StreamHandlerFactory& factory,
                     const CallEnvironment& environment, RawCall& call);

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_CALL_BYTE_SERVICE_H_

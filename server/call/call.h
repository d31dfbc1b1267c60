// One call, from its first byte to its last: what unary calls and streams have
// in common.
#ifndef HALFSTEP_SERVER_CALL_CALL_H_
#define HALFSTEP_SERVER_CALL_CALL_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "core/executor.h"
#include "core/quantize.h"
#include "core/spec.h"
#include "server/call/admission.h"
#include "server/network/connections.h"
#include "server/options.h"
#include "server/security/authorization.h"
#include "server/telemetry/call_log.h"
#include "server/telemetry/call_record.h"
#include "server/telemetry/calls_in_flight.h"
#include "server/telemetry/metrics.h"
#include "server/wire/buffer_pool.h"
#include "server/wire/wire.h"

namespace grpc {
class ServerContext;
}  // namespace grpc

namespace halfstep {

// What all calls of a server share.
struct CallEnvironment {
  const ServerOptions& options;
  const Authorization& authorization;
  Executor& executor;
  Admission& admission;
  const Connections& connections;
  std::shared_ptr<BufferPool> buffers;
  CallsInFlight& in_flight;
  CallLog& log;
  Metrics& metrics;
};

// A method that calls are made of.
struct ServedMethod {
  std::string name;  // "QuantizationService/Quantize", as the log has it
  MethodMetrics& metrics;
};

// As the code that computes its reply sees it.
class Call {
 public:
  const CallLimits& limits() const { return environment_.options.call; }
  Executor& executor() { return environment_.executor; }
  Execution execution() {
    return {environment_.executor, cancellation_, is_inline_};
  }

  // Splits `message`, the last that the call received, once the call's ticket
  // covers what its fields take beside it (server/wire/wire.h).
  // RESOURCE_EXHAUSTED if the server never has room for that ("request"), or
  // not now.
  absl::Status Read(const grpc::ByteBuffer& message,
                    google::protobuf::Message& fields, Payloads& payloads);

  // Memory for a reply's payload of `payload_bytes`, once the call's ticket
  // covers it and `other_bytes` more that the reply will need.
  // RESOURCE_EXHAUSTED if the payload is over max_message_bytes
  // ("tensor.shape"), or if the server never has room for all of it
  // ("request"), or not now.
  // ABORTED if the reply is too long for the thread that the call runs on: a
  // handler passes that on as any error, and is called again elsewhere.
  absl::StatusOr<Buffer> Allocate(uint64_t payload_bytes, uint64_t other_bytes);

  // Notes what the call did, for the log and the metrics.
  void CountWork(Scheme scheme, int64_t elements, const Cuts& cuts);
  void CountElements(uint64_t elements);

 protected:
  // `method` outlives the call, and so does `context`.
  Call(const ServedMethod& method, const CallEnvironment& environment,
       grpc::ServerContext& context);
  ~Call() = default;

  // Who calls, and whether they may; then `waiter`, the call itself, is
  // admitted now or later. Otherwise the call is refused. It is in flight from
  // here on, also then; once admitted it may be over before this returns.
  absl::Status Open(Admission::Waiter& waiter);

  // `status` as gRPC is to send it, with the trailers that go with it. Once.
  grpc::Status Close(const absl::Status& status);

  // The call is over: counts it and writes the log. Once, before `context`
  // goes.
  void Record();

  // gRPC begins to read a message of the call; it has read one of `bytes`, or,
  // not `ok`, will not read one any more.
  void ReadBegins(absl::Time now);
  void ReadEnds(bool ok, uint64_t bytes, absl::Time now);

  // A message of `bytes` goes out.
  void Sends(uint64_t bytes);

  // A thread has begun to serve the call: everything until now but reading and
  // computing was waiting.
  void TakenUp(absl::Time now);
  // It waited for a thread once more, or has ended a stretch of computing.
  void Queued(absl::Duration time) { record_.queue_time += time; }
  void Computed(absl::Duration time) { record_.compute_time += time; }

  // RESOURCE_EXHAUSTED ("request") if the call alone would hold more than all
  // together may.
  absl::Status CheckTotal(uint64_t bytes) const;

  // Makes the ticket cover fields_bytes_, beside what it covers already.
  virtual absl::Status HoldFields() = 0;

  const CallEnvironment& environment_;
  grpc::ServerContext& context_;
  CallInFlight in_flight_;
  Cancellation cancellation_;
  Ticket ticket_;
  CallRecord record_;
  uint64_t fields_bytes_ = 0;  // of the message read last, beside itself
  bool is_inline_ = false;     // on the thread that read the request
  bool must_move_on_ = false;  // from there to the executor

 private:
  // Whether its connection has no other call under way.
  bool is_only_call() const;

  std::shared_ptr<Connection> connection_;  // null: unix sockets, in process
  uint64_t call_begin_ = 0;                 // as connection_ wants it
  uint64_t read_begin_ = 0;                 // the same
  MethodMetrics& metrics_;
  bool is_taken_up_ = false;
  // There is no message any more, or the call is over: only its end says which.
  bool has_read_failed_ = false;
  absl::Time reading_since_;
  absl::Duration read_time_;
};

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_CALL_CALL_H_

#include "server/call/call.h"

#include <grpcpp/server_context.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/field_error.h"
#include "server/call/placement.h"
#include "server/call/request_id.h"
#include "server/wire/grpc_status.h"

namespace halfstep {
namespace {

// The value of `key` in the request's metadata; empty if there is none.
absl::string_view MetadataOf(const grpc::ServerContext& context,
                             absl::string_view key) {
  const auto& metadata = context.client_metadata();
  const auto found = metadata.find({key.data(), key.size()});
  if (found == metadata.end()) return {};
  return {found->second.data(), found->second.size()};
}

absl::string_view NameOf(Scheme scheme) {
  return scheme == Scheme::kSymmetric ? "symmetric" : "asymmetric";
}

}  // namespace

Call::Call(const ServedMethod& method, const CallEnvironment& environment,
           grpc::ServerContext& context)
    : environment_(environment),
      context_(context),
      in_flight_(method.name, context.c_call(), absl::Now()),
      cancellation_(absl::FromChrono(context.deadline())),
      metrics_(method.metrics) {
  record_.method = method.name;
}

absl::Status Call::Open(Admission::Waiter& waiter) {
  metrics_.CountStarted();
  environment_.in_flight.Add(in_flight_);
  record_.request_id = RequestId(MetadataOf(context_, kRequestIdKey));
  record_.trace_id =
      std::string(TraceId(MetadataOf(context_, kTraceParentKey)));
  // Now: gRPC forgets it when the client goes.
  record_.peer = context_.peer();
  connection_ = environment_.connections.Find(record_.peer);
  if (connection_ != nullptr) {
    call_begin_ = connection_->BeginCall();
    if (connection_->is_ended()) {
      return absl::CancelledError("the connection was closed");
    }
    // gRPC holds clients to the limit, but not those that reset their calls,
    // and tells us of the end of a call somewhat late.
    const size_t most =
        size_t{2} * environment_.options.connection.max_streams_per_connection;
    if (connection_->open_calls() > most) {
      connection_->CountCancelled();
      return BusyError("max_streams_per_connection",
                       absl::StrCat(connection_->open_calls(),
                                    " calls are open on one connection"));
    }
  }
  if (absl::Status may = environment_.authorization.Authorize(
          record_.method, context_.client_metadata(), record_.caller);
      !may.ok()) {
    return may;
  }
  return environment_.admission.Enter(limits().request_bytes_max(), waiter,
                                      is_only_call());
}

grpc::Status Call::Close(const absl::Status& status) {
  record_.status = in_flight_.is_stalled()
                       ? StalledError(environment_.options.load.stall_timeout)
                       : status;
  context_.AddTrailingMetadata(kRequestIdKey, record_.request_id);
  if (std::optional<std::string> pushback = Pushback(record_.status)) {
    context_.AddTrailingMetadata(kPushbackKey, *std::move(pushback));
  }
  return ToGrpcStatus(record_.status);
}

void Call::Record() {
  // A read that failed was then the first sign of it, taken for the end of what
  // the client sends; no answer to that has arrived.
  if (has_read_failed_ && context_.IsCancelled() && !in_flight_.is_stalled()) {
    const absl::Status wanted = cancellation_.Check();
    record_.status = absl::IsDeadlineExceeded(wanted)
                         ? wanted
                         : absl::CancelledError("the client has gone");
  }
  environment_.in_flight.Remove(in_flight_);
  ticket_.Release();
  if (connection_ != nullptr) {
    connection_->EndCall(record_.status.ok(), call_begin_, record_.bytes_out);
    if (cancellation_.is_cancelled()) connection_->CountCancelled();
  }
  record_.total_time = absl::Now() - in_flight_.arrived();
  if (!is_taken_up_) record_.queue_time = record_.total_time - read_time_;
  metrics_.CountHandled(record_);
  if (!record_.status.ok()) environment_.metrics.CountFailed(record_.status);
  if (!environment_.log.IsWanted(record_.status)) return;
  environment_.log.Write(record_);
}

void Call::TakenUp(absl::Time now) {
  is_taken_up_ = true;
  record_.queue_time =
      now - in_flight_.arrived() - read_time_ - record_.compute_time;
}

void Call::Sends(uint64_t bytes) {
  record_.bytes_out += bytes;
  metrics_.CountSent(bytes);
}

bool Call::is_only_call() const {
  // One more may be over for the client, but not yet for us.
  return connection_ == nullptr || connection_->open_calls() <= 2;
}

void Call::ReadBegins(absl::Time now) {
  reading_since_ = now;
  if (connection_ == nullptr) return;
  read_begin_ = connection_->BeginRead(limits().request_bytes_max());
}

void Call::ReadEnds(bool ok, uint64_t bytes, absl::Time now) {
  read_time_ += now - reading_since_;
  has_read_failed_ = !ok;
  if (ok) metrics_.CountReceived(bytes);
  if (connection_ == nullptr) return;
  if (ok) {
    connection_->EndRead(limits().request_bytes_max(), bytes);
  } else {
    connection_->AbandonRead(limits().request_bytes_max(), read_begin_);
  }
}

absl::Status Call::Read(const grpc::ByteBuffer& message,
                        google::protobuf::Message& fields, Payloads& payloads) {
  fields_bytes_ = 0;
  return Split(message, fields, payloads, [&](uint64_t bytes) {
    if (absl::Status fits = CheckTotal(message.Length() + bytes); !fits.ok()) {
      return fits;
    }
    fields_bytes_ = bytes;
    return HoldFields();
  });
}

absl::Status Call::CheckTotal(uint64_t bytes) const {
  const uint64_t most = environment_.options.load.max_bytes_in_flight;
  if (bytes <= most) return absl::OkStatus();
  return LimitError("request",
                    absl::StrCat(bytes,
                                 " bytes in memory with its fields and its "
                                 "reply; must be at most max_bytes_in_flight, ",
                                 most));
}

absl::StatusOr<Buffer> Call::Allocate(uint64_t payload_bytes,
                                      uint64_t other_bytes) {
  if (payload_bytes > limits().max_message_bytes) {
    return LimitError(
        "tensor.shape",
        absl::StrCat("a reply of ", payload_bytes,
                     " bytes; must be at most max_message_bytes, ",
                     limits().max_message_bytes));
  }
  if (is_inline_ && payload_bytes + other_bytes > kInlineReplyBytesMax) {
    must_move_on_ = true;
    return absl::AbortedError("too much for this thread");
  }
  const uint64_t total =
      record_.bytes_in + fields_bytes_ + payload_bytes + other_bytes;
  if (absl::Status fits = CheckTotal(total); !fits.ok()) return fits;
  if (absl::Status held = ticket_.Resize(total); !held.ok()) return held;
  return environment_.buffers->Take(payload_bytes);
}

void Call::CountWork(Scheme scheme, int64_t elements, const Cuts& cuts) {
  const CallWork work = {.scheme = NameOf(scheme),
                         .elements = static_cast<uint64_t>(elements),
                         .saturated = cuts.saturated_count,
                         .non_finite = cuts.non_finite_count};
  environment_.metrics.CountWork(work);
  record_.work.scheme = work.scheme;
  record_.work.elements += work.elements;
  record_.work.saturated += work.saturated;
  record_.work.non_finite += work.non_finite;
}

void Call::CountElements(uint64_t elements) {
  environment_.metrics.CountWork({.scheme = {}, .elements = elements});
  record_.work.elements += elements;
}

}  // namespace halfstep

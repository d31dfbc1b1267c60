#include "server/network/transport.h"

#include <grpc/grpc.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <limits>

#include "absl/synchronization/mutex.h"

namespace halfstep {
namespace {

// The largest frame that the server takes. gRPC's clients send messages in
// frames of the size that their peer advertises: larger ones mean fewer headers
// to parse, fewer slices per message.
constexpr int kFrameBytesMax = 1 << 20;

// How much one read from a socket may return. Each read gets memory of its own,
// so that this is also the size of a large message's slices. And what was read
// is parsed to its end, also of a connection that has been closed: of calls
// that are begun and reset, so many bytes are 4,700 at most (begun_calls.h).
// With 1 MiB from the start, gRPC 1.51 also lost 576 bytes of each TLS
// connection: the list of slices that its handshake reads into grew past what
// it frees.
constexpr int kReadChunkBytes = 1 << 17;

// gRPC slows down once most of its quota is used: a share of the bytes in
// flight more, 1 / 2, keeps it from doing so to calls that were admitted.
constexpr uint64_t kQuotaShare = 2;

// And for reads that are under way, each into a chunk of its own, and replies
// in part: where the budget is small, gRPC would run out of its quota with
// nothing but ordinary calls, and reset some of them.
constexpr size_t kQuotaBytesExtra = size_t{16} << 20;

// Each stream of reflection takes one for as long as it is open; more are
// refused.
constexpr int kSynchronousThreadsMax = 16;

int Milliseconds(absl::Duration time) {
  // INT_MAX stands for ever in gRPC.
  return static_cast<int>(std::min<int64_t>(absl::ToInt64Milliseconds(time),
                                            std::numeric_limits<int>::max()));
}

size_t QuotaBytes(const LoadLimits& limits) {
  return limits.max_bytes_in_flight + limits.max_bytes_in_flight / kQuotaShare +
         kQuotaBytesExtra;
}

void SetConnectionLimits(const ConnectionLimits& limits,
                         grpc::ServerBuilder& builder) {
  const auto set = [&builder](const char* name, auto value) {
    builder.AddChannelArgument(name, static_cast<int>(value));
  };
  set(GRPC_ARG_ENABLE_CHANNELZ, 1);  // server/network/begun_calls.h
  set(GRPC_ARG_MAX_CONCURRENT_STREAMS, limits.max_streams_per_connection);
  set(GRPC_ARG_MAX_METADATA_SIZE, limits.max_metadata_bytes);
  // With probing, gRPC opens 4 MiB and more for each call, whether anybody
  // reads it or not (docs/adr/0007-a-fixed-window.md).
  set(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  set(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kWindowBytesMax);
  set(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS,
      Milliseconds(limits.handshake_timeout));
  set(GRPC_ARG_MAX_CONNECTION_IDLE_MS,
      Milliseconds(limits.max_connection_idle));
  set(GRPC_ARG_MAX_CONNECTION_AGE_MS, Milliseconds(limits.max_connection_age));
  set(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS,
      Milliseconds(limits.max_connection_age_grace));
  set(GRPC_ARG_KEEPALIVE_TIME_MS, Milliseconds(limits.keepalive_time));
  set(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Milliseconds(limits.keepalive_timeout));
  // Clients are asked between calls, too, and may ask as often as they like: a
  // client that gRPC sends away for its pings loses its calls, and gRPC needs
  // 3 KB for each ping that comes after the one that is too many. What pings
  // add up to is bounded with everything else that no call accounts for.
  set(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  set(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  set(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
}

}  // namespace

void SetTransport(const ServerOptions& options, grpc::ServerBuilder& builder) {
  // Debian builds abseil so that every lock looks for deadlocks, at a twentieth
  // of the processor's time.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  builder.SetMaxReceiveMessageSize(
      static_cast<int>(options.call.request_bytes_max()));
  // Replies are bounded before they are made: Call::Allocate.
  builder.SetMaxSendMessageSize(-1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, kFrameBytesMax);
  builder.AddChannelArgument(GRPC_ARG_TCP_READ_CHUNK_SIZE, kReadChunkBytes);
  builder.AddChannelArgument(GRPC_ARG_TCP_MAX_READ_CHUNK_SIZE, kReadChunkBytes);
  // gRPC inflates a message without a bound: half a megabyte of gzip becomes
  // more than 500 MiB. So a compressed request is refused before it is read, by
  // gRPC itself: UNIMPLEMENTED.
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  SetConnectionLimits(options.connection, builder);
  // The second fence: what gRPC itself holds, such as data for calls that wait.
  // Every message that is read is part of it, so it must not be the smaller
  // one.
  builder.SetResourceQuota(grpc::ResourceQuota("halfstep")
                               .Resize(QuotaBytes(options.load))
                               .SetMaxThreads(kSynchronousThreadsMax));
  // Reflection alone is synchronous.
  using Option = grpc::ServerBuilder::SyncServerOption;
  builder.SetSyncServerOption(Option::NUM_CQS, 1);
  builder.SetSyncServerOption(Option::MIN_POLLERS, 1);
  builder.SetSyncServerOption(Option::MAX_POLLERS, 2);
}

}  // namespace halfstep

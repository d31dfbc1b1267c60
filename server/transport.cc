#include "server/transport.h"

#include <grpc/grpc.h>
#include <grpcpp/server_builder.h>

namespace halfstep {
namespace {

// The largest frame that the server takes. gRPC's clients send messages in
// frames of the size that their peer advertises: larger ones mean fewer headers
// to parse, fewer slices per message.
constexpr int kFrameBytesMax = 1 << 20;

// How much one read from a socket may return. Each read gets memory of its own,
// so that this is also the size of a large message's slices.
constexpr int kReadChunkBytes = 1 << 20;

}  // namespace

void SetTransport(const ServerOptions& options, grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(
      static_cast<int>(options.call.max_message_bytes + kFieldBytesAllowance));
  // Replies are bounded before they are made: Call::Allocate.
  builder.SetMaxSendMessageSize(-1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, kFrameBytesMax);
  builder.AddChannelArgument(GRPC_ARG_TCP_READ_CHUNK_SIZE, kReadChunkBytes);
  builder.AddChannelArgument(GRPC_ARG_TCP_MAX_READ_CHUNK_SIZE, kReadChunkBytes);
  // The flow-control window follows the bandwidth-delay product that gRPC
  // measures.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 1);
  // gRPC inflates a message without a bound: half a megabyte of gzip becomes
  // more than 500 MiB. So a compressed request is refused before it is read, by
  // gRPC itself: UNIMPLEMENTED.
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  // Two servers on one port would each get half of the calls, unnoticed.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // The synchronous services are reflection alone; ours use the callback API.
  using Option = grpc::ServerBuilder::SyncServerOption;
  builder.SetSyncServerOption(Option::NUM_CQS, 1);
  builder.SetSyncServerOption(Option::MIN_POLLERS, 1);
  builder.SetSyncServerOption(Option::MAX_POLLERS, 2);
}

}  // namespace halfstep

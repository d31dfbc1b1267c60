// How the server speaks HTTP/2: every setting of gRPC that we do not leave to
// it.
#ifndef HALFSTEP_SERVER_NETWORK_TRANSPORT_H_
#define HALFSTEP_SERVER_NETWORK_TRANSPORT_H_

#include "server/options.h"

namespace grpc {
class ServerBuilder;
}  // namespace grpc

namespace halfstep {

// Of the whole process, in part.
void SetTransport(const ServerOptions& options, grpc::ServerBuilder& builder);

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_NETWORK_TRANSPORT_H_

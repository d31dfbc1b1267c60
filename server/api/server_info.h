// What a server tells about itself: GetServerInfo.
#ifndef HALFSTEP_SERVER_API_SERVER_INFO_H_
#define HALFSTEP_SERVER_API_SERVER_INFO_H_

#include "halfstep/v1/quantization.pb.h"
#include "server/options.h"

namespace halfstep {

// Every limit of `options`, which must be resolved, and the build.
v1::GetServerInfoResponse ServerInfo(const ServerOptions& options);

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_API_SERVER_INFO_H_

// A bearer token from a file, sent with every call.
#ifndef HALFSTEP_CLIENT_TOKEN_CREDENTIALS_H_
#define HALFSTEP_CLIENT_TOKEN_CREDENTIALS_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace grpc {
class CallCredentials;
}  // namespace grpc

namespace halfstep {

// Credentials that send the token in the file at `path`, and look every second
// whether it is another one; as long as the file is none, the last one is sent.
//
// FAILED_PRECONDITION, naming the file but not its contents, if it cannot be
// read, holds no token, or can be read by others.
//
// Do not ask for an encrypted connection: whoever uses them does.
absl::StatusOr<std::shared_ptr<grpc::CallCredentials>> TokenCredentials(
    const std::string& path);

}  // namespace halfstep

#endif  // HALFSTEP_CLIENT_TOKEN_CREDENTIALS_H_

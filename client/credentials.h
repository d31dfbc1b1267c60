// What a client proves itself with, and how it knows that it talks to the right
// server: from files.
//
//   halfstep::CredentialFiles files;
//   files.ca = "ca.crt";
//   files.token = "token";
//   auto credentials = halfstep::MakeCredentials(address, files);
//   if (!credentials.ok()) return credentials.status();
//   auto client = Client::Connect(address, {.credentials = *credentials});
#ifndef HALFSTEP_CLIENT_CREDENTIALS_H_
#define HALFSTEP_CLIENT_CREDENTIALS_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace grpc {
class ChannelCredentials;
}  // namespace grpc

namespace halfstep {

// Paths; empty: none.
struct CredentialFiles {
  // Authorities of which one must have signed the server's certificate, in PEM.
  // "system": those that this machine trusts. Empty: no TLS.
  std::string ca;
  // The client's own certificate and key, in PEM, for servers that ask for one.
  // Needs `ca`.
  std::string certificate;
  std::string key;
  // A file with a bearer token in it, sent with every call. Read again when it
  // changes.
  std::string token;
};

// Credentials for the server at `address`; null if `files` names none. UNIX
// sockets never use TLS.
//
// INVALID_ARGUMENT, naming the field, if `files` contradict each other, or if
// the token would be sent to another machine without TLS; FAILED_PRECONDITION,
// naming the file, if one cannot be read, is no PEM or no token, or holds a
// secret that others can read.
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeCredentials(
    const std::string& address, const CredentialFiles& files);

}  // namespace halfstep

#endif  // HALFSTEP_CLIENT_CREDENTIALS_H_

#include "client/credentials.h"

#include <grpcpp/security/credentials.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/loopback.h"
#include "client/secret_file.h"
#include "client/token_credentials.h"

namespace halfstep {
namespace {

constexpr char kSystem[] = "system";

absl::Status CheckFiles(const std::string& address,
                        const CredentialFiles& files) {
  if (files.certificate.empty() != files.key.empty()) {
    return absl::InvalidArgumentError(
        files.key.empty()
            ? "tls_cert: without a key; must come with tls_key"
            : "tls_key: without a certificate; must come with tls_cert");
  }
  if (!files.certificate.empty() && files.ca.empty()) {
    return absl::InvalidArgumentError(
        "tls_cert: without TLS; must come with tls_ca");
  }
  if (!files.token.empty() && files.ca.empty() && !IsLoopback(address)) {
    return absl::InvalidArgumentError(
        absl::StrCat("token_file: everybody on the way to ", address,
                     " could read the token; must come with tls_ca"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadPem(const std::string& path, bool is_secret) {
  absl::StatusOr<std::string> text = ReadCredentialFile(path, is_secret);
  if (text.ok() && !absl::StrContains(*text, "-----BEGIN ")) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": not PEM; must be"));
  }
  return text;
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeTls(
    const CredentialFiles& files) {
  grpc::SslCredentialsOptions options;
  if (files.ca != kSystem) {
    absl::StatusOr<std::string> text = ReadPem(files.ca, /*is_secret=*/false);
    if (!text.ok()) return text.status();
    options.pem_root_certs = *std::move(text);
  }
  if (!files.certificate.empty()) {
    absl::StatusOr<std::string> text =
        ReadPem(files.certificate, /*is_secret=*/false);
    if (!text.ok()) return text.status();
    options.pem_cert_chain = *std::move(text);
    text = ReadPem(files.key, /*is_secret=*/true);
    if (!text.ok()) return text.status();
    options.pem_private_key = *std::move(text);
  }
  return grpc::SslCredentials(options);
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeCredentials(
    const std::string& address, const CredentialFiles& files) {
  absl::Status status = CheckFiles(address, files);
  if (!status.ok()) return status;
  const bool is_unix = absl::StartsWith(address, "unix:");
  std::shared_ptr<grpc::ChannelCredentials> channel;
  if (!files.ca.empty() && !is_unix) {
    absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> tls =
        MakeTls(files);
    if (!tls.ok()) return tls.status();
    channel = *std::move(tls);
  }
  if (files.token.empty()) return channel;
  auto token = TokenCredentials(files.token);
  if (!token.ok()) return token.status();
  if (channel == nullptr) {
    // Plaintext, but only if the peer turns out to be this machine.
    channel = grpc::experimental::LocalCredentials(is_unix ? UDS : LOCAL_TCP);
  }
  return grpc::CompositeChannelCredentials(channel, *token);
}

}  // namespace halfstep

#include "server/security/tls.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>

#include <list>
#include <string>

#include "absl/time/clock.h"

namespace halfstep {
namespace {

// What gRPC makes the handshakes of one port with: before each of them, one at
// a time, it asks whether there is a new set.
class Port {
 public:
  explicit Port(const Certificates& certificates)
      : certificates_(certificates) {}

  static grpc_ssl_certificate_config_reload_status Fetch(
      void* port, grpc_ssl_server_certificate_config** config) {
    return static_cast<Port*>(port)->Fetch(config);
  }

 private:
  grpc_ssl_certificate_config_reload_status Fetch(
      grpc_ssl_server_certificate_config** config) {
    const Certificates::Current current = certificates_.current();
    if (current.generation == generation_) {
      return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    }
    generation_ = current.generation;
    const CertificateSet& set = *current.set;
    const grpc_ssl_pem_key_cert_pair pair = {
        .private_key = set.key_pem.c_str(),
        .cert_chain = set.certificate_pem.c_str()};
    // gRPC 1.51 aborts without a client CA, although it looks at none unless it
    // asks clients for certificates: then it gets something that parses.
    const std::string& client_ca =
        set.client_ca_pem.empty() ? set.certificate_pem : set.client_ca_pem;
    *config =
        grpc_ssl_server_certificate_config_create(client_ca.c_str(), &pair, 1);
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  const Certificates& certificates_;
  uint64_t generation_ = 0;
};

// gRPC's C++ layer has credentials with a fixed pair, and ones that watch files
// but do not look whether a key fits. Its C layer asks a function.
class Credentials final : public grpc::ServerCredentials {
 public:
  explicit Credentials(std::shared_ptr<const Certificates> certificates)
      : certificates_(std::move(certificates)) {}

  // Tokens are looked at where calls start: server/security/authorization.h.
  void SetAuthMetadataProcessor(
      const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& address,
                      grpc_server* server) override {
    const auto request =
        certificates_->files().client_ca.empty()
            ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
            : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY;
    ports_.emplace_back(*certificates_);
    grpc_server_credentials* const credentials =
        grpc_ssl_server_credentials_create_with_options(
            grpc_ssl_server_credentials_create_options_using_config_fetcher(
                request, &Port::Fetch, &ports_.back()));
    const int bound =
        grpc_server_add_http2_port(server, address.c_str(), credentials);
    grpc_server_credentials_release(credentials);
    return bound;
  }

  const std::shared_ptr<const Certificates> certificates_;
  std::list<Port> ports_;  // which gRPC has pointers to
};

}  // namespace

absl::Status Certificates::Load() {
  absl::StatusOr<CertificateSet> set = ReadCertificates(files_, absl::Now());
  if (!set.ok()) return set.status();
  auto next = std::make_shared<const CertificateSet>(*std::move(set));
  absl::MutexLock lock(&mutex_);
  current_.set.swap(next);
  ++current_.generation;
  return absl::OkStatus();
}

std::shared_ptr<grpc::ServerCredentials> TlsCredentials(
    std::shared_ptr<const Certificates> certificates) {
  return std::make_shared<Credentials>(std::move(certificates));
}

}  // namespace halfstep

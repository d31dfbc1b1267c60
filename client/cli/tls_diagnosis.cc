#include "client/cli/tls_diagnosis.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace halfstep::cli {
namespace {

constexpr timeval kTimeout = {.tv_sec = 5, .tv_usec = 0};

struct FreeContext {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
struct FreeBio {
  void operator()(BIO* bio) const { BIO_free_all(bio); }
};

// Waits neither for a connection nor for a handshake longer than kTimeout.
void LimitWaiting(int socket) {
  setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &kTimeout, sizeof(kTimeout));
  setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &kTimeout, sizeof(kTimeout));
}

// What OpenSSL has against the certificate of the server at `address`; empty if
// that cannot be found out.
std::string FaultOfCertificate(const std::string& address,
                               const std::string& ca) {
  const std::unique_ptr<SSL_CTX, FreeContext> context(
      SSL_CTX_new(TLS_client_method()));
  const int trusts = ca == "system"
                         ? SSL_CTX_set_default_verify_paths(context.get())
                         : SSL_CTX_load_verify_file(context.get(), ca.c_str());
  if (trusts != 1) return "";
  // gRPC asked to verify, and did. This handshake goes on to see everything.
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
  const std::unique_ptr<BIO, FreeBio> bio(BIO_new_connect(
      std::string(absl::StripPrefix(address, "dns:///")).c_str()));
  if (bio == nullptr || BIO_do_connect(bio.get()) != 1) return "";
  int socket = -1;
  BIO_get_fd(bio.get(), &socket);
  LimitWaiting(socket);
  SSL* const ssl = SSL_new(context.get());
  const std::unique_ptr<BIO, FreeBio> encrypted(BIO_new(BIO_f_ssl()));
  BIO_set_ssl(encrypted.get(), ssl, BIO_CLOSE);
  BIO_up_ref(bio.get());
  SSL_set_bio(ssl, bio.get(), bio.get());
  // A server that asks for a client's certificate ends this after it has shown
  // its own.
  SSL_connect(ssl);
  ERR_clear_error();
  const long result = SSL_get_verify_result(ssl);
  return result == X509_V_OK ? "" : X509_verify_cert_error_string(result);
}

std::string Explanation(absl::string_view message,
                        const GlobalOptions& globals) {
  const std::string& ca = globals.credentials.ca;
  if (ca.empty()) {
    return absl::StrContains(message, "Socket closed")
               ? "; if it speaks TLS, it wants --tls-ca"
               : "";
  }
  if (absl::StrContains(message, "certificate verify failed")) {
    const std::string fault = FaultOfCertificate(globals.server, ca);
    return absl::StrCat("; the server's certificate is not accepted",
                        fault.empty() ? "" : ": ", fault,
                        "; must be valid and signed by one of --tls-ca");
  }
  if (absl::StrContains(message, "is not in peer certificate")) {
    return absl::StrCat(
        "; the server's certificate is for another name; must be for that of "
        "--server, or --tls-server-name");
  }
  if (absl::StrContains(message, "wrong version number")) {
    return "; the server speaks no TLS there; must be called without --tls-ca";
  }
  if (globals.credentials.certificate.empty() &&
      absl::StrContains(message, "Socket closed")) {
    return "; if it asks for a client's certificate, it wants --tls-cert and "
           "--tls-key";
  }
  return "";
}

}  // namespace

absl::Status ExplainTls(const absl::Status& status,
                        const GlobalOptions& globals) {
  if (!absl::IsUnavailable(status)) return status;
  return absl::UnavailableError(
      absl::StrCat(status.message(), Explanation(status.message(), globals)));
}

}  // namespace halfstep::cli

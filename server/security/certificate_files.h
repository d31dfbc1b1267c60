// What the server proves itself with, read from PEM files and checked to the
// point where no client could still be refused because of them.
#ifndef HALFSTEP_SERVER_SECURITY_CERTIFICATE_FILES_H_
#define HALFSTEP_SERVER_SECURITY_CERTIFICATE_FILES_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace halfstep {

// Paths. `client_ca` may be empty: then clients need no certificate.
struct CertificateFiles {
  std::string certificate;  // the server's, then those that lead to its root
  std::string key;
  std::string client_ca;  // one or more
};

// The contents of these files.
struct CertificateSet {
  std::string certificate_pem;
  std::string key_pem;
  std::string client_ca_pem;  // empty: clients need no certificate
  std::string subject;        // of the server's certificate, for people
  absl::Time not_after;       // the first of the chain to expire, on this day
};

// Reads `files` and checks that they fit together.
//
// FAILED_PRECONDITION, `--tls-cert: PATH: what it is; what it must be` (or
// --tls-key, --tls-client-ca), if a file is no PEM of its kind; the key fits
// another certificate, is encrypted, or can be read by others
// (server/security/secret_file.h); or a certificate of the chain is not valid
// at `now`. The message holds nothing of the key.
absl::StatusOr<CertificateSet> ReadCertificates(const CertificateFiles& files,
                                                absl::Time now);

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_SECURITY_CERTIFICATE_FILES_H_

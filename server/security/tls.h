// TLS on the server's ports, with certificates that can be replaced while it
// runs.
//
// Each handshake is made with one whole set of certificate, key and client CA:
// a set is read and checked before it takes the place of the old one.
// Connections that are open keep what they were opened with.
#ifndef HALFSTEP_SERVER_SECURITY_TLS_H_
#define HALFSTEP_SERVER_SECURITY_TLS_H_

#include <grpcpp/security/server_credentials.h>

#include <cstdint>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/security/certificate_files.h"

namespace halfstep {

// The set that handshakes are made with. Thread-safe.
class Certificates {
 public:
  explicit Certificates(CertificateFiles files) : files_(std::move(files)) {}
  Certificates(const Certificates&) = delete;
  Certificates& operator=(const Certificates&) = delete;

  // Reads the files, which replace what was read before if they are valid.
  // Otherwise errors of ReadCertificates, and everything stays as it was.
  absl::Status Load();

  const CertificateFiles& files() const { return files_; }

  // The set that was loaded last, and how many were until then: 0 and null
  // before the first.
  struct Current {
    std::shared_ptr<const CertificateSet> set;
    uint64_t generation = 0;
  };
  Current current() const {
    absl::ReaderMutexLock lock(&mutex_);
    return current_;
  }

 private:
  const CertificateFiles files_;
  mutable absl::Mutex mutex_;
  Current current_ ABSL_GUARDED_BY(mutex_);
};

// Credentials for any number of ports of one server: TLS 1.2 or 1.3, HTTP/2 by
// ALPN, and a certificate of each client if there is a client CA.
//
// Requires that `certificates` are loaded before a port is opened. Keeps them
// alive, but must itself outlive the server.
std::shared_ptr<grpc::ServerCredentials> TlsCredentials(
    std::shared_ptr<const Certificates> certificates);

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_SECURITY_TLS_H_

// What keeps strangers out of a server: certificates and tokens, with the watch
// over their files.
#ifndef HALFSTEP_SERVER_SECURITY_SECURITY_H_
#define HALFSTEP_SERVER_SECURITY_SECURITY_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/options.h"
#include "server/security/authorization.h"
#include "server/security/file_watch.h"
#include "server/security/tls.h"

namespace halfstep {

// Thread-safe.
class Security {
 public:
  // `options`  of a ServerOptions that is resolved.
  // `report`   is told when files were read again, or could not be.
  Security(const SecurityOptions& options, FileWatch::Report report);

  // Reads the files and, from then on, watches them. FAILED_PRECONDITION,
  // `FLAG: FILE: what it is; what it must be`, if one of them is not good.
  // Once, before anything else.
  absl::Status Start();

  // Reads the files again.
  void Reload() { watch_.ReloadNow(); }

  const Authorization& authorization() const { return authorization_; }

  // For the port at `address`: TLS if there is a certificate, except for UNIX
  // sockets, whose folders say who may connect. This object must outlive the
  // server that has the port.
  std::shared_ptr<grpc::ServerCredentials> CredentialsFor(
      const std::string& address) const;

  // When the certificate in use, or one that leads to its root, expires;
  // nothing without TLS.
  std::optional<absl::Time> certificate_expiry() const;

 private:
  std::vector<FileWatch::Group> Groups();

  const absl::Duration reload_interval_;
  // Null without TLS.
  const std::shared_ptr<Certificates> certificates_;
  const std::shared_ptr<grpc::ServerCredentials> tls_credentials_;
  Authorization authorization_;
  FileWatch watch_;
};

// Whether a server with `options` tells by reflection what it serves.
bool HasReflection(const SecurityOptions& options);

// Whether the files that `options` name are good, as Security::Start would say.
absl::Status CheckSecurityFiles(const SecurityOptions& options);

// The rules between `options` and the addresses that a server listens on:
// FAILED_PRECONDITION if they contradict each other, or if callers from other
// machines could be overheard without anybody having said so; INVALID_ARGUMENT
// if one is out of its range.
absl::Status CheckSecurity(const SecurityOptions& options,
                           const std::vector<std::string>& listen);

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_SECURITY_SECURITY_H_

#include "server/security/security.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/field_error.h"

namespace halfstep {
namespace {

constexpr absl::Duration kReloadIntervalMin = absl::Milliseconds(100);

std::shared_ptr<Certificates> CertificatesOf(const SecurityOptions& options) {
  if (options.tls_cert.empty()) return nullptr;
  return std::make_shared<Certificates>(
      CertificateFiles{.certificate = options.tls_cert,
                       .key = options.tls_key,
                       .client_ca = options.tls_client_ca});
}

bool IsUnix(absl::string_view address) {
  return absl::StartsWith(address, "unix:");
}

// Whether nobody but this machine reaches `address`. A name like
// 127.example.org is no such address, whatever it begins with.
bool IsLocal(absl::string_view address) {
  if (IsUnix(address)) return true;
  std::string host(address.substr(0, address.rfind(':')));
  if (host == "[::1]" || absl::EqualsIgnoreCase(host, "localhost")) return true;
  in_addr numbers = {};
  return inet_pton(AF_INET, host.c_str(), &numbers) == 1 &&
         (ntohl(numbers.s_addr) >> 24) == IN_LOOPBACKNET;
}

absl::Status Contradiction(absl::string_view message) {
  return absl::FailedPreconditionError(message);
}

absl::Status CheckReflection(const SecurityOptions& options) {
  const std::string& choice = options.reflection;
  if (choice != "auto" && choice != "on" && choice != "off") {
    return FieldError("--reflection",
                      absl::StrCat(choice, "; must be auto, on or off"));
  }
  if (choice == "on" && options.production) {
    return Contradiction(
        "--reflection: on contradicts --production; must be one of them");
  }
  if (choice == "on" && !options.token_file.empty()) {
    return Contradiction(
        "--reflection: on contradicts --token-file, since it asks nobody for a "
        "token; must be one of them");
  }
  return absl::OkStatus();
}

absl::Status CheckInterval(absl::Duration interval) {
  if (interval >= kReloadIntervalMin) return absl::OkStatus();
  return FieldError(
      "--reload-interval",
      absl::StrCat(absl::ToDoubleSeconds(interval), "; must be at least ",
                   absl::ToDoubleSeconds(kReloadIntervalMin),
                   " seconds, or inf"));
}

absl::Status CheckCertificateFlags(const SecurityOptions& options) {
  if (options.tls_cert.empty() != options.tls_key.empty()) {
    return options.tls_key.empty()
               ? Contradiction(
                     "--tls-cert: without a key; must come with "
                     "--tls-key")
               : Contradiction(
                     "--tls-key: without a certificate; must come "
                     "with --tls-cert");
  }
  if (!options.tls_client_ca.empty() && options.tls_cert.empty()) {
    return Contradiction(
        "--tls-client-ca: without TLS; must come with --tls-cert and "
        "--tls-key");
  }
  return absl::OkStatus();
}

// `address` is one that other machines can reach.
absl::Status CheckRemote(const SecurityOptions& options,
                         absl::string_view address) {
  if (options.tls_cert.empty() && !options.allow_plaintext) {
    return Contradiction(absl::StrCat(
        "--listen: ", address,
        ": plaintext that other machines can reach; must have --tls-cert and "
        "--tls-key",
        options.production ? " under --production" : ", or --allow-plaintext"));
  }
  if (options.production && options.token_file.empty() &&
      options.tls_client_ca.empty()) {
    return Contradiction(
        absl::StrCat("--listen: ", address,
                     ": whoever reaches it may call; must have --token-file or "
                     "--tls-client-ca under --production"));
  }
  return absl::OkStatus();
}

}  // namespace

Security::Security(const SecurityOptions& options, FileWatch::Report report)
    : reload_interval_(options.reload_interval),
      certificates_(CertificatesOf(options)),
      tls_credentials_(
          certificates_ == nullptr ? nullptr : TlsCredentials(certificates_)),
      authorization_(options.token_file),
      watch_(Groups(), std::move(report)) {}

std::vector<FileWatch::Group> Security::Groups() {
  std::vector<FileWatch::Group> groups;
  if (certificates_ != nullptr) {
    const CertificateFiles& files = certificates_->files();
    groups.push_back({.name = "certificates",
                      .paths = {files.certificate, files.key, files.client_ca},
                      .load = [certificates = certificates_] {
                        return certificates->Load();
                      }});
  }
  if (authorization_.is_on()) {
    groups.push_back({.name = "tokens",
                      .paths = {authorization_.path()},
                      .load = [this] { return authorization_.Load(); }});
  }
  return groups;
}

absl::Status Security::Start() { return watch_.Start(reload_interval_); }

std::shared_ptr<grpc::ServerCredentials> Security::CredentialsFor(
    const std::string& address) const {
  if (certificates_ == nullptr || IsUnix(address)) {
    return grpc::InsecureServerCredentials();
  }
  return tls_credentials_;
}

bool HasReflection(const SecurityOptions& options) {
  if (options.reflection != "auto") return options.reflection == "on";
  return options.token_file.empty() && !options.production;
}

std::optional<absl::Time> Security::certificate_expiry() const {
  if (certificates_ == nullptr) return std::nullopt;
  return certificates_->current().set->not_after;
}

absl::Status CheckSecurityFiles(const SecurityOptions& options) {
  SecurityOptions once = options;
  once.reload_interval = absl::InfiniteDuration();
  Security security(once, [](const absl::Status&, absl::string_view) {});
  return security.Start();
}

absl::Status CheckSecurity(const SecurityOptions& options,
                           const std::vector<std::string>& listen) {
  for (absl::Status status :
       {CheckCertificateFlags(options), CheckReflection(options),
        CheckInterval(options.reload_interval)}) {
    if (!status.ok()) return status;
  }
  if (options.production && options.allow_plaintext) {
    return Contradiction(
        "--allow-plaintext: contradicts --production; must be one of them");
  }
  for (const std::string& address : listen) {
    if (IsLocal(address)) continue;
    if (absl::Status status = CheckRemote(options, address); !status.ok()) {
      return status;
    }
  }
  return absl::OkStatus();
}

}  // namespace halfstep

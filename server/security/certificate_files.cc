#include "server/security/certificate_files.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <ctime>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/security/secret_file.h"

namespace halfstep {
namespace {

template <auto Free>
struct Freed {
  template <typename T>
  void operator()(T* pointer) const {
    Free(pointer);
  }
};
using Bio = std::unique_ptr<BIO, Freed<BIO_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;

// Where an error is, as the operator named it.
struct Place {
  const char* flag;
  const std::string& path;
};

absl::Status Fault(const Place& place, absl::string_view fault) {
  return absl::FailedPreconditionError(
      absl::StrCat(place.flag, ": ", place.path, ": ", fault));
}

absl::StatusOr<std::string> AtFlag(const char* flag,
                                   absl::StatusOr<std::string> text) {
  if (text.ok()) return text;
  return absl::FailedPreconditionError(
      absl::StrCat(flag, ": ", text.status().message()));
}

Bio BioOf(const std::string& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// Nobody is there to be asked for a pass phrase.
int NoPassPhrase(char*, int, int, void*) { return -1; }

absl::StatusOr<std::vector<Certificate>> ParseCertificates(
    const std::string& text, const Place& place) {
  const Bio bio = BioOf(text);
  std::vector<Certificate> certificates;
  ERR_clear_error();
  while (X509* certificate =
             PEM_read_bio_X509(bio.get(), nullptr, NoPassPhrase, nullptr)) {
    certificates.emplace_back(certificate);
  }
  // The end is an error, too: that nothing begins any more.
  const bool is_end =
      ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (certificates.empty() || !is_end) {
    return Fault(place, absl::StrCat(certificates.empty()
                                         ? "no certificate"
                                         : "a certificate that cannot be read",
                                     "; must be certificates in PEM"));
  }
  return certificates;
}

absl::Time TimeOf(const ASN1_TIME* time) {
  std::tm fields = {};
  if (ASN1_TIME_to_tm(time, &fields) != 1) return absl::InfinitePast();
  return absl::FromTM(fields, absl::UTCTimeZone());
}

std::string SubjectOf(X509* certificate) {
  const Bio bio(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(bio.get(), X509_get_subject_name(certificate), 0,
                     XN_FLAG_RFC2253);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

// The time at which the first of `chain` expires, if none has yet.
absl::StatusOr<absl::Time> CheckDates(const std::vector<Certificate>& chain,
                                      absl::Time now, const Place& place) {
  absl::Time not_after = absl::InfiniteFuture();
  for (const Certificate& certificate : chain) {
    const absl::Time begin = TimeOf(X509_get0_notBefore(certificate.get()));
    const absl::Time end = TimeOf(X509_get0_notAfter(certificate.get()));
    const auto wrong = [&](absl::string_view fault, absl::Time time) {
      return Fault(place,
                   absl::StrCat(SubjectOf(certificate.get()), " ", fault, " ",
                                absl::FormatTime(absl::RFC3339_sec, time,
                                                 absl::UTCTimeZone()),
                                "; must be valid now"));
    };
    if (end < now) return wrong("expired at", end);
    if (begin > now) return wrong("is not valid before", begin);
    not_after = std::min(not_after, end);
  }
  return not_after;
}

absl::StatusOr<Key> ParseKey(const std::string& text, const Place& place) {
  const Bio bio = BioOf(text);
  Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassPhrase, nullptr));
  ERR_clear_error();
  if (key == nullptr) {
    return Fault(place,
                 "no private key; must be one in PEM, without a pass phrase");
  }
  return key;
}

}  // namespace

absl::StatusOr<CertificateSet> ReadCertificates(const CertificateFiles& files,
                                                absl::Time now) {
  CertificateSet set;
  const Place certificate_place = {"--tls-cert", files.certificate};
  auto text = AtFlag("--tls-cert", ReadSettingsFile(files.certificate));
  if (!text.ok()) return text.status();
  set.certificate_pem = *std::move(text);
  const auto chain = ParseCertificates(set.certificate_pem, certificate_place);
  if (!chain.ok()) return chain.status();

  text = AtFlag("--tls-key", ReadSecretFile(files.key));
  if (!text.ok()) return text.status();
  set.key_pem = *std::move(text);
  const auto key = ParseKey(set.key_pem, {"--tls-key", files.key});
  if (!key.ok()) return key.status();

  X509* const own = chain->front().get();
  if (X509_check_private_key(own, key->get()) != 1) {
    ERR_clear_error();
    return Fault(
        {"--tls-key", files.key},
        absl::StrCat("does not fit the certificate ", files.certificate,
                     "; must be the key that it was made for"));
  }
  const auto not_after = CheckDates(*chain, now, certificate_place);
  if (!not_after.ok()) return not_after.status();
  set.not_after = *not_after;
  set.subject = SubjectOf(own);

  if (files.client_ca.empty()) return set;
  const Place ca_place = {"--tls-client-ca", files.client_ca};
  text = AtFlag("--tls-client-ca", ReadSettingsFile(files.client_ca));
  if (!text.ok()) return text.status();
  set.client_ca_pem = *std::move(text);
  const auto authorities = ParseCertificates(set.client_ca_pem, ca_place);
  if (!authorities.ok()) return authorities.status();
  return set;
}

}  // namespace halfstep

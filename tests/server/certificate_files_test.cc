#include "server/security/certificate_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/security/secret_file.h"
#include "server/security/tls.h"
#include "tests/server/pem.h"
#include "tests/temporary_folder.h"

namespace halfstep {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class CertificateFilesTest : public ::testing::Test {
 protected:
  void Write(const PemPair& pair) {
    WriteFile(files_.certificate, pair.certificate, 0644);
    WriteFile(files_.key, pair.key);
  }
  absl::Status Read() const {
    return ReadCertificates(files_, absl::Now()).status();
  }

  const TemporaryFolder folder_;
  CertificateFiles files_ = {.certificate = folder_.Path("server.crt"),
                             .key = folder_.Path("server.key"),
                             .client_ca = ""};
};

TEST_F(CertificateFilesTest, ReadsWhatFits) {
  const PemOptions options = {.common_name = "halfstep.example.org"};
  const PemPair pair = MakePem(options);
  Write(pair);
  const absl::StatusOr<CertificateSet> set =
      ReadCertificates(files_, absl::Now());
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->certificate_pem, pair.certificate);
  EXPECT_EQ(set->key_pem, pair.key);
  EXPECT_EQ(set->client_ca_pem, "");
  EXPECT_EQ(set->subject, "CN=halfstep.example.org");
  // Certificates know no fractions of a second.
  EXPECT_EQ(absl::ToUnixSeconds(set->not_after),
            absl::ToUnixSeconds(options.not_after));
}

TEST_F(CertificateFilesTest, ExpiresWithTheFirstOfTheChain) {
  const PemPair own = MakePem();
  const PemOptions sooner = {.common_name = "An Authority",
                             .not_after = absl::Now() + absl::Minutes(5)};
  Write({.certificate = own.certificate + MakePem(sooner).certificate,
         .key = own.key});
  const absl::StatusOr<CertificateSet> set =
      ReadCertificates(files_, absl::Now());
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(absl::ToUnixSeconds(set->not_after),
            absl::ToUnixSeconds(sooner.not_after));
  // Then the whole is of no use any more, and the message says which it is.
  const absl::Status late =
      ReadCertificates(files_, absl::Now() + absl::Minutes(6)).status();
  EXPECT_THAT(std::string(late.message()),
              HasSubstr("CN=An Authority expired at"));
}

TEST_F(CertificateFilesTest, RefusesTheKeyOfAnother) {
  const PemPair pair = MakePem();
  Write({.certificate = pair.certificate, .key = MakePem().key});
  const absl::Status status = Read();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              AllOf(StartsWith(absl::StrCat("--tls-key: ", files_.key, ": ")),
                    HasSubstr("does not fit"), Not(HasSubstr("PRIVATE"))));
}

TEST_F(CertificateFilesTest, RefusesEveryModeThatIsOpenToOthers) {
  const PemPair pair = MakePem();
  Write(pair);
  for (const mode_t mode :
       {0601u, 0602u, 0604u, 0610u, 0620u, 0660u, 0666u, 0644u}) {
    SCOPED_TRACE(mode);
    WriteFile(files_.key, pair.key, mode);
    EXPECT_THAT(std::string(Read().message()), HasSubstr("open to others"));
  }
  for (const mode_t mode : {0400u, 0600u, 0700u}) {
    WriteFile(files_.key, pair.key, mode);
    EXPECT_TRUE(Read().ok()) << Read();
  }
}

TEST_F(CertificateFilesTest, ReadsTheAuthorityOfClients) {
  Write(MakePem());
  files_.client_ca = folder_.Path("clients.crt");
  const std::string authority = MakePem().certificate;
  WriteFile(files_.client_ca, authority, 0644);
  ASSERT_TRUE(Read().ok()) << Read();
  EXPECT_EQ(ReadCertificates(files_, absl::Now())->client_ca_pem, authority);
  // Half of a second one: gRPC would take the first and say nothing.
  WriteFile(files_.client_ca, authority + authority.substr(0, 200), 0644);
  EXPECT_THAT(std::string(Read().message()), StartsWith("--tls-client-ca: "));
}

TEST_F(CertificateFilesTest, AFailedLoadKeepsWhatWasThere) {
  const PemPair first = MakePem();
  Write(first);
  Certificates certificates(files_);
  EXPECT_EQ(certificates.current().generation, 0u);
  ASSERT_TRUE(certificates.Load().ok());
  WriteFile(files_.key, MakePem().key);
  EXPECT_FALSE(certificates.Load().ok());
  EXPECT_EQ(certificates.current().generation, 1u);
  EXPECT_EQ(certificates.current().set->key_pem, first.key);
  Write(MakePem());
  EXPECT_TRUE(certificates.Load().ok());
  EXPECT_EQ(certificates.current().generation, 2u);
}

TEST_F(CertificateFilesTest, ReadsAtMostAMebibyte) {
  const std::string path = folder_.Path("large");
  WriteFile(path, std::string(size_t{1} << 20, 'x'));
  EXPECT_TRUE(ReadSecretFile(path).ok());
  WriteFile(path, std::string((size_t{1} << 20) + 1, 'x'));
  EXPECT_EQ(ReadSecretFile(path).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace halfstep

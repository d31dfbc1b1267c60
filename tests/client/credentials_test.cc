#include "client/credentials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/temporary_folder.h"

namespace halfstep {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr char kHere[] = "127.0.0.1:50051";
// An address for documentation (RFC 5737).
constexpr char kElsewhere[] = "192.0.2.1:50051";

class CredentialsTest : public ::testing::Test {
 protected:
  // A file that only its owner can read, as a secret must be.
  std::string Secret(const std::string& name, const std::string& text) {
    const std::string path = folder_.Write(name, text);
    chmod(path.c_str(), 0600);
    return path;
  }

  const TemporaryFolder folder_;
};

TEST_F(CredentialsTest, NoneForNothing) {
  const auto credentials = MakeCredentials(kElsewhere, {});
  ASSERT_TRUE(credentials.ok());
  EXPECT_EQ(*credentials, nullptr);
}

TEST_F(CredentialsTest, ATokenGoesOverTlsOrStaysHere) {
  CredentialFiles files;
  files.token = Secret("token", "0123456789abcdef\n");
  const auto elsewhere = MakeCredentials(kElsewhere, files);
  EXPECT_EQ(elsewhere.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(elsewhere.status().message()),
              StartsWith("token_file: "));
  for (const char* here :
       {kHere, "localhost:1", "[::1]:1", "unix:/run/halfstep.sock"}) {
    const auto credentials = MakeCredentials(here, files);
    ASSERT_TRUE(credentials.ok()) << credentials.status();
    EXPECT_NE(*credentials, nullptr);
  }
  files.ca = "system";
  const auto encrypted = MakeCredentials(kElsewhere, files);
  ASSERT_TRUE(encrypted.ok()) << encrypted.status();
  EXPECT_NE(*encrypted, nullptr);
}

TEST_F(CredentialsTest, RefusesFilesThatAreNotGood) {
  CredentialFiles files;
  files.token = Secret("token", "two words");
  const auto message_of = [&files] {
    const absl::Status status = MakeCredentials(kHere, files).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    return std::string(status.message());
  };
  // The message says which file, and not what is in it.
  EXPECT_EQ(message_of(),
            files.token + ": no token; must be one line with nothing else");
  files.token = Secret("token", "0123456789abcdef");
  chmod(files.token.c_str(), 0604);
  EXPECT_THAT(message_of(), HasSubstr("mode 0604, open to everybody"));
  files.token = folder_.Path("missing");
  EXPECT_THAT(message_of(), HasSubstr("No such file"));
  files.token = "";
  files.ca = folder_.Write("ca.crt", "nothing");
  EXPECT_EQ(message_of(), files.ca + ": not PEM; must be");
}

TEST_F(CredentialsTest, RefusesHalfAPair) {
  CredentialFiles files;
  files.ca = "system";
  files.certificate = "client.crt";
  EXPECT_THAT(std::string(MakeCredentials(kHere, files).status().message()),
              StartsWith("tls_cert: without a key"));
  files.key = "client.key";
  files.ca = "";
  EXPECT_THAT(std::string(MakeCredentials(kHere, files).status().message()),
              StartsWith("tls_cert: without TLS"));
}

}  // namespace
}  // namespace halfstep

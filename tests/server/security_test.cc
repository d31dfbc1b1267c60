#include "server/security/security.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace halfstep {
namespace {

using ::testing::HasSubstr;

SecurityOptions WithTls() {
  SecurityOptions options;
  options.tls_cert = "server.crt";
  options.tls_key = "server.key";
  return options;
}

TEST(CheckSecurity, PlaintextStaysOnThisMachine) {
  const SecurityOptions plain;
  for (const char* local :
       {"127.0.0.1:0", "127.255.0.9:1", "[::1]:0", "localhost:80",
        "LocalHost:80", "unix:/run/halfstep.sock"}) {
    EXPECT_TRUE(CheckSecurity(plain, {local}).ok()) << local;
  }
  for (const char* remote :
       {"0.0.0.0:0", "[::]:0", "10.0.0.1:80", "example.org:80", "128.0.0.1:1",
        "127.example.org:80", "127.1:80", "localhost.example.org:80",
        "[::2]:80", "[::ffff:127.0.0.1]:80", "*:80", "ipv4:127.0.0.1:80"}) {
    SCOPED_TRACE(remote);
    const absl::Status status = CheckSecurity(plain, {"127.0.0.1:0", remote});
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr("--allow-plaintext"));
    EXPECT_TRUE(CheckSecurity(WithTls(), {remote}).ok());
    SecurityOptions allowed;
    allowed.allow_plaintext = true;
    EXPECT_TRUE(CheckSecurity(allowed, {remote}).ok());
  }
}

TEST(CheckSecurity, ProductionNeedsCallersThatAreKnown) {
  SecurityOptions options = WithTls();
  options.production = true;
  EXPECT_TRUE(CheckSecurity(options, {"127.0.0.1:0"}).ok());
  EXPECT_FALSE(CheckSecurity(options, {"0.0.0.0:0"}).ok());
  options.token_file = "tokens";
  EXPECT_TRUE(CheckSecurity(options, {"0.0.0.0:0"}).ok());
  options.token_file = "";
  options.tls_client_ca = "clients.crt";
  EXPECT_TRUE(CheckSecurity(options, {"0.0.0.0:0"}).ok());
  options.allow_plaintext = true;
  EXPECT_FALSE(CheckSecurity(options, {"127.0.0.1:0"}).ok());
}

TEST(CheckSecurity, RefusesIntervalsWithoutSense) {
  SecurityOptions options;
  for (const absl::Duration interval :
       {absl::ZeroDuration(), absl::Milliseconds(99), -absl::Seconds(1),
        -absl::InfiniteDuration()}) {
    options.reload_interval = interval;
    EXPECT_EQ(CheckSecurity(options, {}).code(),
              absl::StatusCode::kInvalidArgument);
  }
  for (const absl::Duration interval :
       {absl::Milliseconds(100), absl::InfiniteDuration()}) {
    options.reload_interval = interval;
    EXPECT_TRUE(CheckSecurity(options, {}).ok());
  }
}

TEST(HasReflection, IsOffWithTokensAndInProduction) {
  SecurityOptions options;
  EXPECT_TRUE(HasReflection(options));
  options.token_file = "tokens";
  EXPECT_FALSE(HasReflection(options));
  options.token_file = "";
  options.production = true;
  EXPECT_FALSE(HasReflection(options));
  options.production = false;
  options.reflection = "off";
  EXPECT_FALSE(HasReflection(options));
  options.reflection = "nonsense";
  EXPECT_EQ(CheckSecurity(options, {}).code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace halfstep

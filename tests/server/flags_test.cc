#include "server/settings/flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <string>
#include <vector>

#include "server/options.h"
#include "server/settings/settings.h"

namespace halfstep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Parsed {
  std::optional<int> code;
  ServerOptions options;
  std::string out;
  std::string error;
};

Parsed Parse(std::vector<const char*> flags) {
  flags.insert(flags.begin(), "halfstep-server");
  Parsed parsed;
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  CommandLine line;
  parsed.code =
      ParseCommandLine(static_cast<int>(flags.size()), flags.data(), line);
  parsed.options = line.configuration.resolved;
  parsed.out = testing::internal::GetCapturedStdout();
  parsed.error = testing::internal::GetCapturedStderr();
  return parsed;
}

TEST(Flags, HaveDefaults) {
  const Parsed parsed = Parse({});
  EXPECT_EQ(parsed.code, std::nullopt);
  EXPECT_THAT(parsed.options.listen, ElementsAre("127.0.0.1:50051"));
  EXPECT_EQ(parsed.options.call.max_message_bytes, 256u << 20);
  EXPECT_GE(parsed.options.threads, 1);
  // Half of the memory, and never less than the largest call needs.
  EXPECT_GE(parsed.options.load.max_bytes_in_flight,
            2 * ((256u << 20) + kFieldBytesAllowance));
  EXPECT_EQ(parsed.options.log_level, "info");
}

TEST(Flags, AreRead) {
  const Parsed parsed =
      Parse({"--listen=127.0.0.1:0", "--listen=unix:/tmp/x.sock", "--threads=3",
             "--max-message-bytes=64MiB", "--max-bytes-in-flight=1GiB",
             "--max-waiting-calls=5", "--max-queued-calls=6",
             "--drain-timeout=1.5", "--log-level=off"});
  EXPECT_EQ(parsed.code, std::nullopt) << parsed.error;
  EXPECT_THAT(parsed.options.listen,
              ElementsAre("127.0.0.1:0", "unix:/tmp/x.sock"));
  EXPECT_EQ(parsed.options.threads, 3);
  EXPECT_EQ(parsed.options.call.max_message_bytes, 64u << 20);
  EXPECT_EQ(parsed.options.load.max_bytes_in_flight, 1u << 30);
  EXPECT_EQ(parsed.options.load.max_waiting_calls, 5u);
  EXPECT_EQ(parsed.options.load.max_queued_calls, 6u);
  EXPECT_EQ(parsed.options.drain_timeout, absl::Seconds(1.5));
  EXPECT_EQ(parsed.options.log_level, "off");
}

TEST(Flags, HaveVariablesThatTheyOverride) {
  setenv("HALFSTEP_LISTEN", "127.0.0.1:1,unix:/tmp/y.sock", 1);
  setenv("HALFSTEP_THREADS", "7", 1);
  setenv("HALFSTEP_MAX_MESSAGE_BYTES", "1MB", 1);
  const Parsed parsed = Parse({"--threads=2"});
  unsetenv("HALFSTEP_LISTEN");
  unsetenv("HALFSTEP_THREADS");
  unsetenv("HALFSTEP_MAX_MESSAGE_BYTES");
  EXPECT_THAT(parsed.options.listen,
              ElementsAre("127.0.0.1:1", "unix:/tmp/y.sock"));
  EXPECT_EQ(parsed.options.threads, 2);
  EXPECT_EQ(parsed.options.call.max_message_bytes, 1'000'000u);
}

TEST(Flags, RefuseWhatCannotBe) {
  const std::vector<std::pair<const char*, const char*>> wrong = {
      {"--listen=nowhere", "--listen: nowhere; must be HOST:PORT"},
      {"--listen=host:65536", "--listen: host:65536; "},
      {"--listen=unix:", "--listen: unix:; "},
      {"--threads=-1", "--threads: -1; must be in [0, 1024]"},
      {"--threads=2000", "--threads: 2000; "},
      {"--max-message-bytes=3GiB", "--max-message-bytes: 3221225472; "},
      {"--max-bytes-in-flight=1MiB", "--max-bytes-in-flight: 1048576; "},
      {"--log-level=loud", "--log-level: loud; must be off, error"},
      {"--simd-target=ABACUS", "ABACUS"},
      {"--unheard-of", "--unheard-of"},
      {"--drain-timeout=-1", "--drain-timeout"},
  };
  for (const auto& [flag, fault] : wrong) {
    const Parsed parsed = Parse({flag});
    EXPECT_EQ(parsed.code, kExitUsage) << flag;
    EXPECT_THAT(parsed.error, HasSubstr(fault));
    // One line.
    EXPECT_EQ(parsed.error.find('\n'), parsed.error.size() - 1);
    EXPECT_EQ(parsed.out, "");
  }
}

TEST(Flags, HelpShowsEverySetting) {
  const Parsed parsed = Parse({"--help"});
  EXPECT_EQ(parsed.code, kExitOk);
  for (const Setting& setting : Settings()) {
    EXPECT_THAT(parsed.out, HasSubstr(FlagOf(setting) + " "));
    EXPECT_THAT(parsed.out, HasSubstr(setting.group + ":"));
  }
  for (const char* text : {"--config", "--print-config", "--check-config",
                           "HALFSTEP_FOO_BAR", "Examples:", "78"}) {
    EXPECT_THAT(parsed.out, HasSubstr(text));
  }
  EXPECT_EQ(parsed.out.find("--simd-target"), std::string::npos);
}

TEST(Flags, ListSimdTargets) {
  const Parsed parsed = Parse({"--list-simd-targets"});
  EXPECT_EQ(parsed.code, kExitOk);
  EXPECT_FALSE(parsed.out.empty());
  EXPECT_EQ(parsed.out.back(), '\n');
}

TEST(Options, MakeRoomForTheLargestCall) {
  ServerOptions options;
  options.call.max_message_bytes = kMessageBytesMax;
  const absl::StatusOr<ServerOptions> resolved = Resolve(options);
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_GE(resolved->load.max_bytes_in_flight, 2 * kMessageBytesMax);
}

}  // namespace
}  // namespace halfstep

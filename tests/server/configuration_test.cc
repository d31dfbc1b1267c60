#include "server/settings/configuration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "server/settings/settings.h"
#include "server/settings/toml_file.h"
#include "tests/temporary_folder.h"

namespace halfstep {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string Written(const std::string& toml) {
  // Of this process: ctest runs tests side by side.
  static const TemporaryFolder folder;
  return folder.Write("configuration_test.toml", toml);
}

// A valid text for each setting that is not its default.
std::vector<std::string> OtherTexts(const Setting& setting) {
  const ServerOptions defaults = DefaultOptions();
  const std::vector<std::string> texts = TextsOf(setting, defaults);
  for (const std::string& choice : setting.choices) {
    if (choice != texts.front()) return {choice};
  }
  switch (setting.kind) {
    case SettingKind::kSize:
      return {"768MiB"};
    case SettingKind::kCount:
      return {"3"};
    case SettingKind::kSeconds:
      return {"2.5"};
    case SettingKind::kSwitch:
      return {texts.front() == "true" ? "false" : "true"};
    case SettingKind::kMode:
      return {"0640"};
    case SettingKind::kText:
    case SettingKind::kPath:
      return {"/a \"quoted\" \\ path\twith a tab"};
    case SettingKind::kList:
      return {"127.0.0.1:1", "unix:/tmp/a,b.sock"};
  }
  return {};
}

TEST(Settings, HaveNamesOfOneForm) {
  for (const Setting& setting : Settings()) {
    EXPECT_THAT(setting.key, testing::MatchesRegex("[a-z][a-z0-9_]*"));
    EXPECT_EQ(FindSetting(setting.key), &setting) << "twice: " << setting.key;
    EXPECT_FALSE(setting.group.empty()) << setting.key;
    EXPECT_FALSE(setting.description.empty()) << setting.key;
    EXPECT_NE(setting.description.back(), '.') << setting.key;
  }
}

TEST(Settings, OfOneGroupStandBesideEachOther) {
  std::vector<std::string> groups;
  for (const Setting& setting : Settings()) {
    if (groups.empty() || groups.back() != setting.group) {
      EXPECT_THAT(groups, testing::Not(testing::Contains(setting.group)));
      groups.push_back(setting.group);
    }
  }
}

TEST(Settings, HaveFieldsOfTheirOwn) {
  for (const Setting& setting : Settings()) {
    ServerOptions options = DefaultOptions();
    ASSERT_TRUE(SetFromText(setting, OtherTexts(setting), options).ok())
        << setting.key;
    for (const Setting& each : Settings()) {
      const bool changed =
          TextsOf(each, options) != TextsOf(each, DefaultOptions());
      EXPECT_EQ(changed, &each == &setting)
          << setting.key << " changes " << each.key;
    }
  }
}

// What is printed can be read: by a flag, and as a file.
TEST(Settings, ComeBackFromTheirText) {
  Configuration printed;
  printed.given = DefaultOptions();
  for (const Setting& setting : Settings()) {
    printed.sources[setting.key] = {SourceKind::kDefault, "default"};
    ASSERT_TRUE(SetFromText(setting, OtherTexts(setting), printed.given).ok());
    ServerOptions again = DefaultOptions();
    ASSERT_TRUE(
        SetFromText(setting, TextsOf(setting, printed.given), again).ok());
    EXPECT_EQ(TextsOf(setting, again), TextsOf(setting, printed.given));
  }
  printed.resolved = printed.given;
  const std::string path = Written(ToToml(printed));
  const absl::StatusOr<std::vector<TomlEntry>> entries = ReadTomlFile(path);
  ASSERT_TRUE(entries.ok()) << entries.status();
  ASSERT_EQ(entries->size(), Settings().size());
  ServerOptions read = DefaultOptions();
  for (const TomlEntry& entry : *entries) {
    const Setting* const setting = FindSetting(entry.key);
    ASSERT_NE(setting, nullptr) << entry.key;
    ASSERT_TRUE(SetFromText(*setting, entry.texts, read).ok()) << entry.key;
    EXPECT_EQ(TextsOf(*setting, read), TextsOf(*setting, printed.given));
  }
}

TEST(Configure, TakesFlagsOverVariablesOverTheFile) {
  const std::string path = Written(
      "threads = 3\n"
      "max_waiting_calls = 4\n"
      "max_queued_calls = 5\n"
      "listen = ['127.0.0.1:1', '127.0.0.1:2']\n"
      "drain_timeout = '250ms'\n");
  const absl::StatusOr<Configuration> result = Configure(
      {.flags = {{"threads", {"9"}}},
       .variables = {"HALFSTEP_THREADS=8", "HALFSTEP_MAX_WAITING_CALLS=7",
                     "HALFSTEP_MAX_QUEUED_CALLS=", "PATH=/bin"},
       .file = path});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->given.threads, 9);
  EXPECT_EQ(result->given.load.max_waiting_calls, 7u);
  EXPECT_EQ(result->given.load.max_queued_calls, 5u);
  EXPECT_EQ(result->given.drain_timeout, absl::Milliseconds(250));
  EXPECT_THAT(result->given.listen, ElementsAre("127.0.0.1:1", "127.0.0.1:2"));
  EXPECT_EQ(result->sources.at("threads").name, "--threads");
  EXPECT_EQ(result->sources.at("max_waiting_calls").name,
            "HALFSTEP_MAX_WAITING_CALLS");
  EXPECT_EQ(result->sources.at("listen").name, path + ":4: listen");
  EXPECT_EQ(result->sources.at("log_level").name, "default");
  const std::string toml = ToToml(*result);
  EXPECT_THAT(toml, HasSubstr("threads = 9  # --threads\n"));
  EXPECT_THAT(toml, HasSubstr("log_level = \"info\"  # default\n"));
}

TEST(Configure, NamesTheSourceOfWhatIsWrong) {
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {"threads = 'two'", ":1: threads: two; must be a whole number"},
      {"\nthreads = 2000", ":2: threads: 2000; must be in [0, 1024]"},
      {"threads = 1.5", ":1: threads: 1.5; must be a whole number"},
      {"thread = 2",
       ":1: thread: no such setting; must be threads, perhaps; "
       "--print-config lists all"},
      {"[limits]\nthreads = 2",
       ":1: limits: no such setting; must be one that --print-config lists"},
      {"threads = 1\nthreads = 2", "must be TOML: key = value"},
      {"threads", "must be TOML: key = value"},
      {"max_message_bytes = '3 furlongs'", "must be a size such as 65536"},
      {"max_message_bytes = -1", "must be a size such as 65536"},
      {"max_message_bytes = 99999999999999999999", "must be TOML"},
      {"max_message_bytes = '99999999999999999999EiB'", "must be a size"},
      {"drain_timeout = nan", "must be seconds"},
      {"drain_timeout = '5 days'", "must be seconds"},
      {"listen = [1, 2]", "must be a list of texts"},
      {"log_level = 'loud'", ":1: log_level: loud; must be off, error"},
      {"max_message_bytes = '1GiB'\nmax_bytes_in_flight = 1048576",
       ":2: max_bytes_in_flight: 1048576; must be "},
  };
  for (const auto& [toml, fault] : wrong) {
    SCOPED_TRACE(toml);
    const std::string path = Written(toml);
    const absl::StatusOr<Configuration> result =
        Configure({.flags = {}, .variables = {}, .file = path});
    EXPECT_EQ(result.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(result.status().message()), StartsWith(path + ":"));
    EXPECT_THAT(std::string(result.status().message()), HasSubstr(fault));
  }
}

TEST(Configure, RefusesVariablesThatMeanNothing) {
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {"HALFSTEP_THREDS=3",
       "HALFSTEP_THREDS: no such setting; must be "
       "HALFSTEP_THREADS, perhaps, or be unset"},
      {"HALFSTEP_threads=3", "HALFSTEP_threads: no such setting"},
      {"HALFSTEP_=3", "HALFSTEP_: no such setting"},
      {"HALFSTEP_THREADS=2000", "HALFSTEP_THREADS: 2000; must be in [0, 1024]"},
      {"HALFSTEP_LISTEN=a:1,nowhere", "HALFSTEP_LISTEN: nowhere; must be HOST"},
  };
  for (const auto& [variable, fault] : wrong) {
    const absl::StatusOr<Configuration> result =
        Configure({.flags = {}, .variables = {variable}, .file = ""});
    EXPECT_EQ(result.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(result.status().message()), StartsWith(fault));
  }
}

// Kubernetes sets these in every container beside a Service called halfstep or
// halfstep-admin; the client's variables may stand in the same shell.
TEST(Configure, LeavesVariablesOfOthersAlone) {
  const absl::StatusOr<Configuration> result = Configure(
      {.flags = {},
       .variables = {"HALFSTEP_SERVICE_HOST=10.0.0.1",
                     "HALFSTEP_SERVICE_PORT=50051",
                     "HALFSTEP_SERVICE_PORT_GRPC=50051",
                     "HALFSTEP_PORT=tcp://10.0.0.1:50051",
                     "HALFSTEP_PORT_50051_TCP=tcp://10.0.0.1:50051",
                     "HALFSTEP_PORT_50051_TCP_ADDR=10.0.0.1",
                     "HALFSTEP_ADMIN_SERVICE_HOST=10.0.0.1",
                     "HALFSTEP_ADMIN_PORT_9464_TCP_PROTO=tcp",
                     "HALFSTEP_SERVER=127.0.0.1:50051", "HALFSTEP_TIMEOUT=5"},
       .file = ""});
  EXPECT_TRUE(result.ok()) << result.status();
}

TEST(Configure, SaysWhenAFlagAloneIsWrong) {
  const absl::StatusOr<Configuration> result = Configure(
      {.flags = {{"threads", {"2000"}}}, .variables = {}, .file = ""});
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(result.status().message()),
              StartsWith("--threads: 2000; "));
}

TEST(Configure, NeedsTheFile) {
  for (const std::string& path :
       {std::string("/nowhere/x.toml"), testing::TempDir()}) {
    const absl::StatusOr<Configuration> result =
        Configure({.flags = {}, .variables = {}, .file = path});
    EXPECT_EQ(result.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(result.status().message()),
                EndsWith("; must be a TOML file that can be read"));
  }
}

TEST(Configure, TellsWhatChanged) {
  const absl::StatusOr<Configuration> before =
      Configure({.flags = {}, .variables = {}, .file = ""});
  const absl::StatusOr<Configuration> after =
      Configure({.flags = {{"threads", {"2"}}, {"log_level", {"warn"}}},
                 .variables = {"HALFSTEP_MAX_MESSAGE_BYTES=256MiB"},
                 .file = ""});
  ASSERT_TRUE(before.ok() && after.ok());
  EXPECT_THAT(ChangedKeys(*before, *after),
              ElementsAre("threads", "log_level"));
  EXPECT_THAT(ChangedKeys(*after, *after), ElementsAre());
}

}  // namespace
}  // namespace halfstep

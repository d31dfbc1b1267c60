#include "server/settings/flags.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "command_line/completion.h"
#include "command_line/man_page.h"
#include "command_line/program.h"
#include "core/simd.h"
#include "server/security/startup_files.h"
#include "server/settings/reference.h"
#include "server/settings/settings.h"
#include "server/version.h"

namespace halfstep {
namespace {

constexpr char kDescription[] =
    "Halfstep quantizes tensors over gRPC: halfstep.v1.QuantizationService.\n"
    "Prints `listening on ADDRESS` for each address once it serves; SIGTERM "
    "and SIGINT let calls in flight finish, SIGHUP reads the configuration "
    "again.";

constexpr char kFooter[] =
    "A setting --foo-bar is also the variable HALFSTEP_FOO_BAR and the key "
    "foo_bar of the TOML file. A flag wins over a variable, and that over the "
    "file.\n"
    "Sizes take suffixes (64MiB, 1GB), seconds too (250ms, 2m).\n\n"
    "Examples:\n"
    "  halfstep-server\n"
    "  halfstep-server --listen=0.0.0.0:50051 --tls-cert=server.crt "
    "--tls-key=server.key\n"
    "  halfstep-server --listen=127.0.0.1:0 --listen=unix:/run/halfstep.sock\n"
    "  HALFSTEP_MAX_MESSAGE_BYTES=64MiB halfstep-server --log-level=warn\n"
    "  halfstep-server --config=/etc/halfstep.toml --check-config\n"
    "  halfstep-server --print-config > halfstep.toml\n\n"
    "Exit codes:\n"
    "  0   told to stop, or what was asked for is done\n"
    "  1   could not start: an address that is taken, for example\n"
    "  2   a flag is wrong\n"
    "  3   it was told to stop, hung, and was ended by its own watch\n"
    "  78  the file, a variable, or a file that a setting names is wrong, or "
    "settings\n"
    "      contradict each other";

// What is asked of the program instead of serving, and what is no setting.
struct Asked {
  std::string simd_target;
  bool lists_simd_targets = false;
  bool prints_configuration = false;
  bool checks_configuration = false;
  std::string completed_shell;
  bool prints_man_page = false;
  bool prints_reference = false;
};

std::string HelpOf(const Setting& setting) {
  std::string help = setting.description;
  if (!setting.choices.empty()) {
    absl::StrAppend(&help, ": ", absl::StrJoin(setting.choices, ", "));
  }
  const std::string value = DefaultText(setting);
  if (setting.kind != SettingKind::kSwitch && !value.empty()) {
    absl::StrAppend(&help, " [", value, "]");
  }
  return help;
}

// What completion goes by: a file, or one of these.
std::string TypeOf(const Setting& setting) {
  if (setting.kind == SettingKind::kPath) return "FILE";
  return setting.choices.empty()
             ? "TEXT"
             : absl::StrCat("TEXT:{", absl::StrJoin(setting.choices, ","), "}");
}

// One flag for each setting; what it is given is taken by Taken.
void AddSettings(CLI::App& app) {
  for (const Setting& setting : Settings()) {
    CLI::Option* option = nullptr;
    if (setting.kind == SettingKind::kSwitch) {
      option = app.add_flag(FlagOf(setting))->description(HelpOf(setting));
    } else {
      option = app.add_option(FlagOf(setting))->description(HelpOf(setting));
      option->option_text(PlaceholderOf(setting));
      option->type_name(TypeOf(setting));
      if (setting.kind == SettingKind::kList) {
        option->delimiter(',')->take_all()->expected(1, 1 << 16);
        option->allow_extra_args(false);
      }
    }
    option->group(setting.group);
  }
}

std::map<std::string, std::vector<std::string>> Taken(const CLI::App& app) {
  std::map<std::string, std::vector<std::string>> flags;
  for (const Setting& setting : Settings()) {
    const CLI::Option& option = *app.get_option(FlagOf(setting));
    if (option.count() > 0) flags[setting.key] = option.results();
  }
  return flags;
}

void AddCommands(CLI::App& app, std::string& file, Asked& asked) {
  constexpr char kConfiguration[] = "Configuration";
  app.add_option("--config", file, "TOML file of settings [$HALFSTEP_CONFIG]")
      ->option_text("FILE")
      ->group(kConfiguration);
  app.add_flag("--print-config", asked.prints_configuration,
               "Print the settings as such a file, with the source of each")
      ->group(kConfiguration);
  app.add_flag("--check-config", asked.checks_configuration,
               "Check the settings and the files they name; 0 or 78")
      ->group(kConfiguration);
  app.add_option(
         "--completion", asked.completed_shell,
         "Print what completes this command in a shell: bash, zsh, fish")
      ->check(CLI::IsMember({"bash", "zsh", "fish"}))
      ->option_text("SHELL");
  // For the build and for tests: not in --help.
  app.add_flag("--print-man-page", asked.prints_man_page)->group("");
  app.add_flag("--print-reference", asked.prints_reference)->group("");
  app.add_option("--simd-target", asked.simd_target)->group("");
  app.add_flag("--list-simd-targets", asked.lists_simd_targets)->group("");
  app.set_version_flag("--version", std::string(kVersion),
                       "Print the version and exit");
}

std::string Variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// One line, whatever a file or a variable held.
int Fail(const absl::Status& status) {
  std::string line(status.message());
  std::replace_if(
      line.begin(), line.end(),
      [](unsigned char byte) { return absl::ascii_iscntrl(byte); }, '?');
  std::cerr << "halfstep-server: " << line << "\n";
  return ExitCodeOf(status);
}

absl::Status Pin(const std::string& from_flag) {
  if (!from_flag.empty()) return PinSimdTarget(from_flag);
  const std::string target = Variable("HALFSTEP_SIMD_TARGET");
  return target.empty() ? absl::OkStatus() : PinSimdTarget(target);
}

// What the program says about itself, if it is asked for that.
std::optional<std::string> Answer(const Asked& asked, const CLI::App& app) {
  if (!asked.completed_shell.empty()) {
    return command_line::Completion(asked.completed_shell,
                                    command_line::Describe(app));
  }
  if (asked.prints_man_page) {
    return command_line::ToRoff(command_line::Describe(app),
                                {.section = 8,
                                 .version = std::string(kVersion),
                                 .date = std::string(kVersionDate),
                                 .summary = "quantize tensors over gRPC",
                                 .see_also = ".BR halfstep (1)"});
  }
  if (asked.prints_reference) return ReferenceTables();
  if (asked.lists_simd_targets) {
    return absl::StrCat(absl::StrJoin(SimdTargets(), "\n"), "\n");
  }
  return std::nullopt;
}

// What comes before serving, once the command line is read.
std::optional<int> Prepare(const Asked& asked, CommandLine& result) {
  if (absl::Status pinned = Pin(asked.simd_target); !pinned.ok()) {
    return Fail(pinned);
  }
  absl::StatusOr<Configuration> configuration = Configure(result.sources);
  if (!configuration.ok()) return Fail(configuration.status());
  result.configuration = *std::move(configuration);
  if (asked.prints_configuration) {
    std::cout << ToToml(result.configuration);
    return kExitOk;
  }
  if (absl::Status files = CheckFiles(result.configuration.resolved);
      !files.ok()) {
    return Fail(absl::Status(
        files.code(), WithSources(files.message(), result.configuration)));
  }
  if (asked.checks_configuration) return kExitOk;
  return std::nullopt;
}

}  // namespace

int ExitCodeOf(const absl::Status& status) {
  return absl::IsInvalidArgument(status) ? kExitUsage : kExitConfiguration;
}

std::optional<int> ParseCommandLine(int argc, const char* const* argv,
                                    CommandLine& result) {
  CLI::App app(kDescription, "halfstep-server");
  app.footer(kFooter);
  app.set_help_flag("-h,--help", "Print this and exit");
  app.get_formatter()->column_width(36);
  Asked asked;
  std::string file;
  AddCommands(app, file, asked);
  AddSettings(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help, --version
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    std::cerr << "halfstep-server: " << error.what() << "; see --help\n";
    return kExitUsage;
  }
  if (const std::optional<std::string> answer = Answer(asked, app)) {
    std::cout << *answer;
    return kExitOk;
  }
  result.sources.flags = Taken(app);
  result.sources.file = file.empty() ? Variable("HALFSTEP_CONFIG") : file;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (absl::StartsWith(*variable, "HALFSTEP_")) {
      result.sources.variables.emplace_back(*variable);
    }
  }
  return Prepare(asked, result);
}

}  // namespace halfstep

#include "client/cli/command.h"

#include <cstdio>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace halfstep::cli {
namespace {

// A server's message, or a file's name, may hold anything: no control
// characters reach the terminal, and the message stays one line.
std::string OneLine(absl::string_view text) {
  std::string line(text);
  for (char& character : line) {
    if (static_cast<unsigned char>(character) < 0x20 || character == 0x7f) {
      character = ' ';
    }
  }
  return line;
}

std::function<absl::Status(const absl::Status&)>& Explain() {
  static auto* const explain =
      new std::function<absl::Status(const absl::Status&)>(
          [](const absl::Status& status) { return status; });
  return *explain;
}

}  // namespace

void ExplainFailuresWith(
    std::function<absl::Status(const absl::Status& status)> explain) {
  Explain() = std::move(explain);
}

ExitCode Fail(ExitCode code, const absl::Status& status) {
  std::string line = OneLine(status.message());
  // What the system says about a file ends with its reason.
  if (code == ExitCode::kFile && !absl::StrContains(line, "; must ")) {
    if (absl::StrContains(line, "cannot be written")) {
      absl::StrAppend(&line, "; must be where you may write, with room left");
    } else if (absl::StrContains(line, "cannot be read")) {
      absl::StrAppend(&line, "; must be a file that you may read");
    }
  }
  std::fprintf(stderr, "halfstep: %s\n", line.c_str());
  return code;
}

ExitCode FailCall(const absl::Status& given) {
  const absl::Status status = Explain()(given);
  if (absl::IsUnavailable(status)) {
    return Fail(ExitCode::kUnreachable,
                absl::UnavailableError(absl::StrCat(
                    "no server: ", status.message(),
                    "; must be where a halfstep-server listens, or left out "
                    "(--server) to run one here")));
  }
  if (absl::IsDeadlineExceeded(status)) {
    return Fail(ExitCode::kUnreachable,
                absl::DeadlineExceededError(absl::StrCat(
                    "no answer in time: ", status.message(),
                    "; must come within --timeout SECONDS: give it more")));
  }
  return Fail(ExitCode::kRefused, status);
}

CLI::App* Commands::Add(const std::string& name, const std::string& description,
                        const std::string& example,
                        std::function<ExitCode(const GlobalOptions&)> run) {
  CLI::App* command = app_.add_subcommand(name, description);
  command->fallthrough();
  command->footer(absl::StrCat(
      "Options of every command: --server ADDRESS, --timeout SECONDS, --json, "
      "--tls-ca FILE,\n--token-file FILE and others "
      "(see halfstep --help)\n\nExample:\n",
      example));
  command->callback(
      [this, run = std::move(run)] { exit_code_ = run(globals_); });
  return command;
}

}  // namespace halfstep::cli

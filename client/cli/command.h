// What every command of `halfstep` shares: global options, exit codes, and how
// a failure is told.
#ifndef HALFSTEP_CLIENT_CLI_COMMAND_H_
#define HALFSTEP_CLIENT_CLI_COMMAND_H_

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "client/credentials.h"

namespace halfstep::cli {

enum class ExitCode : int {
  kDone = 0,
  kRefused = 1,        // the server refused or failed the call
  kUsage = 2,          // the command line is wrong
  kFile = 3,           // a file cannot be read or written
  kUnreachable = 4,    // no server answered in time
  kInterrupted = 130,  // by SIGINT or SIGTERM, as a shell says it
};

struct GlobalOptions {
  std::string server;  // empty: one inside this process
  double timeout_seconds = 60;
  bool json = false;
  CredentialFiles credentials;
  std::string server_name;  // of its certificate; empty: that in `server`
};

// Prints `halfstep: MESSAGE` as one line on standard error and returns `code`.
ExitCode Fail(ExitCode code, const absl::Status& status);

// Fail for a call: kUnreachable or kRefused, as the status says.
ExitCode FailCall(const absl::Status& status);

// From now on FailCall tells what `explain` makes of a status, in all of the
// process.
void ExplainFailuresWith(
    std::function<absl::Status(const absl::Status& status)> explain);

// Adds a subcommand. `run` is called once the whole command line is parsed, and
// its result becomes the exit code.
class Commands {
 public:
  Commands(CLI::App& app, const GlobalOptions& globals)
      : app_(app), globals_(globals) {}

  CLI::App* Add(const std::string& name, const std::string& description,
                const std::string& example,
                std::function<ExitCode(const GlobalOptions&)> run);

  ExitCode exit_code() const { return exit_code_; }

 private:
  CLI::App& app_;
  const GlobalOptions& globals_;
  ExitCode exit_code_ = ExitCode::kDone;
};

// One file each.
void AddDemo(Commands& commands);
void AddGenerate(Commands& commands);
void AddQuantize(Commands& commands);
void AddDequantize(Commands& commands);
void AddFakeQuantize(Commands& commands);
void AddError(Commands& commands);
void AddInfo(Commands& commands);
void AddHealth(Commands& commands);
void AddLoad(Commands& commands);
void AddCalibrate(Commands& commands);
void AddParameters(Commands& commands);
// Of the whole `app`, which must outlive `commands`.
void AddCompletion(Commands& commands, const CLI::App& app);
void AddManPage(Commands& commands, const CLI::App& app);

}  // namespace halfstep::cli

#endif  // HALFSTEP_CLIENT_CLI_COMMAND_H_

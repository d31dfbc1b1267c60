// halfstep: the command line.
#include <google/protobuf/stubs/logging.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <new>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/cli/command.h"

namespace halfstep::cli {
namespace {

constexpr char kFooter[] =
    R"(Without --server, the command runs a server inside its own process.

Exit codes:
  0  done
  1  the server refused or failed the call
  2  the command line is wrong
  3  a file cannot be read or written
  4  no server answered in time
  130  interrupted (load)

Examples:
  halfstep quantize --values 199.93,-9.18,0,7.15 --bits 4 --error
  halfstep info --server halfstep.example.org:443 --tls-ca system \
      --token-file ~/.halfstep-token)";

// Their variables differ from those of the server, which may be set in the same
// shell and mean other files.
void AddCredentialOptions(CLI::App& app, GlobalOptions& globals) {
  const auto add = [&app](const std::string& flag, std::string& value,
                          const std::string& variable,
                          const std::string& description,
                          const std::string& placeholder) {
    app.add_option(flag, value, absl::StrCat(description, " [$", variable, "]"))
        ->envname(variable)
        ->option_text(placeholder);
  };
  CredentialFiles& files = globals.credentials;
  add("--tls-ca", files.ca, "HALFSTEP_CLIENT_TLS_CA",
      "Use TLS, with a server whose certificate an authority of this PEM file "
      "has signed; `system`: one that this machine trusts",
      "FILE");
  add("--tls-cert", files.certificate, "HALFSTEP_CLIENT_TLS_CERT",
      "The client's own certificate, in PEM, if the server asks for one",
      "FILE");
  add("--tls-key", files.key, "HALFSTEP_CLIENT_TLS_KEY",
      "The key of that certificate, in PEM", "FILE");
  add("--tls-server-name", globals.server_name,
      "HALFSTEP_CLIENT_TLS_SERVER_NAME",
      "The name in the server's certificate, if not that of --server", "NAME");
  add("--token-file", files.token, "HALFSTEP_CLIENT_TOKEN_FILE",
      "A file with the bearer token to call with", "FILE");
}

void AddGlobalOptions(CLI::App& app, GlobalOptions& globals) {
  app.add_option("--server", globals.server,
                 "A server, HOST:PORT or unix:PATH [$HALFSTEP_SERVER]")
      ->envname("HALFSTEP_SERVER")
      ->option_text("ADDRESS");
  app.add_option("--timeout", globals.timeout_seconds,
                 "How long a call may take [$HALFSTEP_TIMEOUT, else 60]")
      ->check(CLI::Validator(
          [](const std::string& text) -> std::string {
            double seconds = 0;
            if (absl::SimpleAtod(text, &seconds) && seconds > 0) return "";
            return absl::StrCat(text, "; must be seconds, above 0");
          },
          ""))
      ->envname("HALFSTEP_TIMEOUT")
      ->option_text("SECONDS");
  app.add_flag("--json", globals.json, "Print JSON");
  AddCredentialOptions(app, globals);
}

// What is wrong, and whose help says what is right.
std::string UsageFault(const CLI::App& app, const CLI::ParseError& error) {
  const std::vector<CLI::App*> commands = app.get_subcommands();
  const std::string help = absl::StrCat(
      "halfstep ", commands.empty() ? "" : commands.front()->get_name() + " ",
      "--help");
  // CLI11 asks for what is missing before it names what it does not know.
  const std::vector<std::string> words = app.remaining(/*recurse=*/true);
  if (words.empty() || (!commands.empty() && words.front()[0] != '-')) {
    return absl::StrCat(error.what(), "; see ", help);
  }
  return absl::StrCat(
      words.front(),
      words.front()[0] == '-' ? ": no such option" : ": no such command",
      "; must be one of ", help);
}

ExitCode Run(int argc, char** argv) {
  CLI::App app{"Quantize tensors with a Halfstep server.", "halfstep"};
  GlobalOptions globals;
  AddGlobalOptions(app, globals);
  app.require_subcommand(1);
  app.footer(kFooter);
  Commands commands(app, globals);
  AddDemo(commands);
  AddGenerate(commands);
  AddQuantize(commands);
  AddDequantize(commands);
  AddFakeQuantize(commands);
  AddError(commands);
  AddCalibrate(commands);
  AddParameters(commands);
  AddInfo(commands);
  AddHealth(commands);
  AddLoad(commands);
  AddCompletion(commands, app);
  AddManPage(commands, app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& help) {
    app.exit(help);
    return ExitCode::kDone;
  } catch (const CLI::ParseError& error) {
    return Fail(ExitCode::kUsage,
                absl::InvalidArgumentError(UsageFault(app, error)));
  } catch (const std::bad_alloc&) {
    return Fail(ExitCode::kFile,
                absl::ResourceExhaustedError(
                    "out of memory; must be a tensor that fits into it"));
  }
  if (!std::cout.flush()) {
    return Fail(ExitCode::kFile,
                absl::DataLossError("standard output: cannot be written"));
  }
  return commands.exit_code();
}

}  // namespace
}  // namespace halfstep::cli

int main(int argc, char** argv) {
  // One line per failure, ours: these libraries also log what they return.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  google::protobuf::SetLogHandler(nullptr);
  try {
    return static_cast<int>(halfstep::cli::Run(argc, argv));
  } catch (const std::exception& error) {
    // Such as std::bad_alloc: a file that does not fit into memory.
    std::fprintf(stderr, "halfstep: %s\n", error.what());
    return static_cast<int>(halfstep::cli::ExitCode::kRefused);
  }
}

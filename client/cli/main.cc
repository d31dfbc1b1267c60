// halfstep: the command line.
#include <google/protobuf/stubs/logging.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <new>

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

Example:
  halfstep quantize --values 199.93,-9.18,0,7.15 --bits 4 --error)";

void AddGlobalOptions(CLI::App& app, GlobalOptions& globals) {
  app.add_option("--server", globals.server,
                 "A server, HOST:PORT or unix:PATH [$HALFSTEP_SERVER]")
      ->envname("HALFSTEP_SERVER")
      ->option_text("ADDRESS");
  app.add_option("--timeout", globals.timeout_seconds,
                 "How long a call may take [$HALFSTEP_TIMEOUT, else 60]")
      ->check(CLI::PositiveNumber)
      ->envname("HALFSTEP_TIMEOUT")
      ->option_text("SECONDS");
  app.add_flag("--json", globals.json, "Print JSON");
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
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& help) {
    app.exit(help);
    return ExitCode::kDone;
  } catch (const CLI::ParseError& error) {
    return Fail(ExitCode::kUsage,
                absl::InvalidArgumentError(std::string(error.what()) +
                                           "; see halfstep --help"));
  } catch (const std::bad_alloc&) {
    return Fail(ExitCode::kFile, absl::ResourceExhaustedError("out of memory"));
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

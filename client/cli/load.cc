// halfstep load: how much a server takes, and how long it takes for it.
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/command.h"
#include "client/cli/connection.h"
#include "client/cli/load_interrupts.h"
#include "client/cli/load_options.h"
#include "client/cli/load_session.h"
#include "client/cli/report.h"
#include "client/load/html_report.h"
#include "client/load/results.h"
#include "client/output_file.h"

namespace halfstep::cli {
namespace {

constexpr char kExamples[] =
    R"(  halfstep load --server localhost:50051 --concurrency 8
  halfstep load --server localhost:50051 --rate 500 --arrivals poisson
  halfstep load --server localhost:50051 --rates 100,200,400 --html load.html
  halfstep load --server localhost:50051 --sizes 4KiB:9,1MiB:1 \
      --rpcs quantize:3,dequantize:1 --concurrency 8 --verify 0.1
  halfstep load --server localhost:50051 --rpcs parameters --concurrency 8
  halfstep load --server localhost:50051 --find-rate --p99-below 5ms

A closed loop waits for the server and so sends less when it stalls; to see what
callers would see, give a rate. docs/load.md says how to read the numbers.)";

// Files that are written at the end, opened at the beginning: a long run must
// not end with a folder that does not exist.
struct Outputs {
  std::optional<OutputFile> csv;
  std::optional<OutputFile> html;
};

absl::Status Open(const std::string& path, std::optional<OutputFile>& file) {
  if (path.empty()) return absl::OkStatus();
  absl::StatusOr<OutputFile> created = OutputFile::Create(path);
  if (!created.ok()) return created.status();
  file.emplace(*std::move(created));
  return absl::OkStatus();
}

absl::Status Write(const std::string& text, std::optional<OutputFile>& file) {
  if (!file.has_value()) return absl::OkStatus();
  const absl::Status status = file->Write(text);
  OutputFile* const files[] = {&*file};
  return status.ok() ? OutputFile::Commit(files) : status;
}

// The exit code for what the steps say, and the line that explains it.
ExitCode Verdict(const std::vector<load::Row>& rows) {
  if (rows.empty()) return ExitCode::kDone;
  const load::StepResult& last = rows.back().result;
  const std::string kept = absl::StrCat(
      "after ", rows.back().result.calls,
      " calls of this step; what was measured is kept, as partial");
  switch (last.stop) {
    case load::Stop::kInterrupted:
      return Fail(ExitCode::kInterrupted,
                  absl::CancelledError(absl::StrCat("interrupted ", kept)));
    case load::Stop::kServerGone:
      return Fail(ExitCode::kUnreachable,
                  absl::UnavailableError(
                      absl::StrCat("the server went away ", kept, ": ",
                                   last.stop_reason.message())));
    case load::Stop::kWrongAnswer:
      return Fail(ExitCode::kRefused,
                  absl::DataLossError(absl::StrCat(
                      "wrong answer: ", last.stop_reason.message())));
    case load::Stop::kNot:
      break;
  }
  for (const load::Row& row : rows) {
    const load::StepResult& result = row.result;
    if (result.ok > 0 || result.failures.empty()) continue;
    const auto& [code, failures] = *result.failures.begin();
    return Fail(ExitCode::kRefused,
                absl::Status(code, absl::StrCat("no call succeeded: ",
                                                failures.first_message)));
  }
  return ExitCode::kDone;
}

ExitCode Run(const LoadOptions& options, const GlobalOptions& globals) {
  Interrupts interrupts;
  const absl::StatusOr<LoadPlan> plan =
      PlanOf(options, globals.timeout_seconds);
  if (!plan.ok()) return Fail(ExitCode::kUsage, plan.status());
  if (!plan->channel_settings.empty() && globals.server.empty()) {
    return Fail(ExitCode::kUsage,
                absl::InvalidArgumentError(
                    "--channel-setting: there is no connection to set; must be "
                    "used with --server"));
  }
  Outputs outputs;
  absl::Status opened = Open(options.csv_file, outputs.csv);
  if (opened.ok()) opened = Open(options.html_file, outputs.html);
  if (!opened.ok()) return Fail(ExitCode::kFile, opened);
  absl::StatusOr<Connection> connection = Connection::Open(globals);
  if (!connection.ok()) return FailOpen(connection.status());
  LoadSession session(*plan, globals, *connection, interrupts);
  const absl::Status status = session.Run();
  // What was measured before an error is kept.
  if (!session.rows().empty()) {
    const nlohmann::ordered_json json = session.Json();
    if (globals.json) PrintJson(json);
    absl::Status written = Write(load::ToCsv(session.rows()), outputs.csv);
    if (written.ok()) written = Write(load::ToHtml(json), outputs.html);
    if (!written.ok()) return Fail(ExitCode::kFile, written);
  }
  std::cout.flush();
  if (absl::IsInvalidArgument(status)) return Fail(ExitCode::kUsage, status);
  return status.ok() ? Verdict(session.rows()) : FailCall(status);
}

}  // namespace

void AddLoad(Commands& commands) {
  const auto options = std::make_shared<LoadOptions>();
  CLI::App* command =
      commands.Add("load", "Measure how much a server takes, and how fast",
                   kExamples, [options](const GlobalOptions& globals) {
                     return Run(*options, globals);
                   });
  AddLoadOptions(*command, *options);
}

}  // namespace halfstep::cli

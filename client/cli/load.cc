// halfstep load: how much a server takes, and how long it takes for it.
#include <signal.h>

#include <ctime>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "client/cli/command.h"
#include "client/cli/connection.h"
#include "client/cli/load_options.h"
#include "client/cli/load_print.h"
#include "client/cli/load_verify.h"
#include "client/cli/report.h"
#include "client/load/html_report.h"
#include "client/load/limit.h"
#include "client/load/results.h"
#include "client/load/run_step.h"
#include "client/message_json.h"
#include "client/output_file.h"

namespace halfstep::cli {
namespace {

constexpr char kExamples[] =
    R"(  halfstep load --server localhost:50051 --concurrency 8
  halfstep load --server localhost:50051 --rate 500 --arrivals poisson
  halfstep load --server localhost:50051 --rates 100,200,400 --html load.html
  halfstep load --server localhost:50051 --sizes 4KiB:9,1MiB:1 \
      --rpcs quantize:3,dequantize:1 --concurrency 8 --verify 0.1
  halfstep load --server localhost:50051 --find-rate --p99-below 5ms

A closed loop waits for the server and so sends less when it stalls; to see what
callers would see, give a rate. docs/load.md says how to read the numbers.)";

// SIGINT and SIGTERM, taken up when asked for. Blocked before gRPC starts its
// threads, so that they reach nobody else.
class Interrupts {
 public:
  Interrupts() {
    sigemptyset(&signals_);
    sigaddset(&signals_, SIGINT);
    sigaddset(&signals_, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  }

  bool Came() {
    const timespec at_once{};
    came_ = came_ || sigtimedwait(&signals_, nullptr, &at_once) > 0;
    return came_;
  }

 private:
  sigset_t signals_;
  bool came_ = false;
};

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

class LoadCommand {
 public:
  LoadCommand(const LoadPlan& plan, const GlobalOptions& globals,
              Connection& connection, Interrupts& interrupts)
      : plan_(plan),
        globals_(globals),
        client_(connection.client()),
        interrupts_(interrupts) {
    if (!globals.server.empty()) {
      channels_ = load::ConnectChannels(globals.server, plan.channels);
    }
    while (channels_.size() < static_cast<size_t>(plan.channels)) {
      channels_.push_back(connection.InProcessChannel());
    }
    several_ =
        plan.limit.has_value() || plan.mixes.size() * plan.steps.size() > 1;
  }

  // Everything, until it is done or stopped. Errors are those before a call was
  // measured.
  absl::Status Run() {
    absl::StatusOr<v1::GetServerInfoResponse> info = client_.GetServerInfo();
    if (!info.ok()) return info.status();
    info_ = *std::move(info);
    for (const load::MixOptions& mix : plan_.mixes) {
      absl::StatusOr<load::Workload> workload =
          load::Workload::Prepare(mix, client_);
      if (!workload.ok()) return workload.status();
      absl::Status status = RunMix(*workload, mix);
      if (!status.ok() || stopped()) return status;
    }
    return absl::OkStatus();
  }

  const std::vector<load::Row>& rows() const { return rows_; }

  bool stopped() const {
    return !rows_.empty() && rows_.back().result.partial();
  }

  nlohmann::ordered_json Json() const {
    nlohmann::ordered_json json;
    json["target"] =
        globals_.server.empty() ? "inside this process" : globals_.server;
    json["server"] = ToJson(info_);
    json["measured_at"] =
        absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", begin_, absl::UTCTimeZone());
    json["channels"] = plan_.channels;
    json["client_cores"] = load::Cores();
    json["partial"] = stopped();
    json["steps"] = nlohmann::ordered_json::array();
    for (const load::Row& row : rows_) {
      json["steps"].push_back(load::ToJson(row));
    }
    json["limits"] = limits_;
    return json;
  }

 private:
  absl::Status RunMix(const load::Workload& workload,
                      const load::MixOptions& mix) {
    std::unique_ptr<AnswerCheck> check;
    if (plan_.steps.front().verify_fraction > 0) {
      absl::StatusOr<std::unique_ptr<AnswerCheck>> created =
          AnswerCheck::Create(workload);
      if (!created.ok()) return created.status();
      check = *std::move(created);
    }
    verify_ = [&check](size_t variant, const grpc::ByteBuffer& reply) {
      return check->Check(variant, reply);
    };
    const std::string calls = Describe(mix);
    const uint64_t size = mix.sizes.size() == 1 ? mix.sizes.front().value : 0;
    if (!globals_.json && several_) {
      std::cout << calls << '\n';
      PrintTableHeader();
    }
    const auto run = [&](const load::StepOptions& step) {
      rows_.push_back({.calls = calls,
                       .real_bytes = size,
                       .result = RunOne(workload, step)});
      Show(rows_.back());
      return rows_.back().result;
    };
    if (plan_.limit.has_value()) {
      Search(run);
      return absl::OkStatus();
    }
    for (const load::StepOptions& step : plan_.steps) {
      if (run(step).partial()) break;
    }
    return absl::OkStatus();
  }

  load::StepResult RunOne(const load::Workload& workload,
                          const load::StepOptions& step) {
    load::StepResult result =
        load::RunStep(workload, channels_, step, verify_,
                      [this](const load::Progress& progress) {
                        live_.Show(progress);
                        return !interrupts_.Came();
                      });
    live_.Clear();
    return result;
  }

  void Show(const load::Row& row) {
    if (globals_.json) return;
    if (several_) {
      PrintTableLine(row);
    } else {
      PrintStep(row);
    }
  }

  template <typename Run>
  void Search(const Run& run) {
    load::StepOptions step = plan_.steps.front();
    double first = plan_.limit->first_rate;
    if (first <= 0) {
      step.rate = 0;
      const load::StepResult capacity = run(step);
      if (capacity.partial()) return;
      first = capacity.calls_per_second() / 2;
    }
    const load::Limit limit =
        load::FindLimit(first, *plan_.limit, [&](double rate) {
          step.rate = rate;
          return run(step);
        });
    nlohmann::ordered_json json;
    json["calls_sent"] = rows_.back().calls;
    json["p99_below_seconds"] = absl::ToDoubleSeconds(plan_.limit->p99_below);
    if (limit.rate.has_value()) json["rate"] = *limit.rate;
    if (limit.too_high.has_value()) json["too_high"] = *limit.too_high;
    json["settled"] = limit.settled;
    json["client_was_bottleneck"] = limit.client_was_bottleneck;
    if (!globals_.json && !limit.stopped) PrintLimit(limit);
    limits_.push_back(std::move(json));
  }

  void PrintLimit(const load::Limit& limit) {
    const std::string bound = absl::FormatDuration(plan_.limit->p99_below);
    if (!limit.rate.has_value()) {
      std::cout << absl::StrFormat(
          "limit: below %.5g/s: p99 is never below %s\n",
          limit.too_high.value_or(0), bound);
      return;
    }
    std::cout << absl::StrFormat("limit: %.5g/s with p99 below %s", *limit.rate,
                                 bound);
    if (limit.too_high.has_value()) {
      std::cout << absl::StrFormat("; %.5g/s is too much", *limit.too_high);
      if (limit.client_was_bottleneck) std::cout << " for this client";
    }
    std::cout << '\n';
  }

  const LoadPlan& plan_;
  const GlobalOptions& globals_;
  Client& client_;
  Interrupts& interrupts_;
  std::vector<std::shared_ptr<grpc::Channel>> channels_;
  bool several_ = false;
  const absl::Time begin_ = absl::Now();
  v1::GetServerInfoResponse info_;
  load::Verifier verify_;
  LiveLine live_;
  std::vector<load::Row> rows_;
  nlohmann::ordered_json limits_ = nlohmann::ordered_json::array();
};

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
  Outputs outputs;
  absl::Status opened = Open(options.csv_file, outputs.csv);
  if (opened.ok()) opened = Open(options.html_file, outputs.html);
  if (!opened.ok()) return Fail(ExitCode::kFile, opened);
  absl::StatusOr<Connection> connection = Connection::Open(globals);
  if (!connection.ok()) {
    return absl::IsInvalidArgument(connection.status())
               ? Fail(ExitCode::kUsage, connection.status())
               : FailCall(connection.status());
  }
  LoadCommand command(*plan, globals, *connection, interrupts);
  const absl::Status status = command.Run();
  // What was measured before an error is kept.
  if (!command.rows().empty()) {
    const nlohmann::ordered_json json = command.Json();
    if (globals.json) PrintJson(json);
    absl::Status written = Write(load::ToCsv(command.rows()), outputs.csv);
    if (written.ok()) written = Write(load::ToHtml(json), outputs.html);
    if (!written.ok()) return Fail(ExitCode::kFile, written);
  }
  std::cout.flush();
  if (absl::IsInvalidArgument(status)) return Fail(ExitCode::kUsage, status);
  return status.ok() ? Verdict(command.rows()) : FailCall(status);
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

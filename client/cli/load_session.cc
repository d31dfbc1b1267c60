#include "client/cli/load_session.h"

#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "client/cli/load_verify.h"
#include "client/message_json.h"

namespace halfstep::cli {

LoadSession::LoadSession(const LoadPlan& plan, const GlobalOptions& globals,
                         Connection& connection, Interrupts& interrupts)
    : plan_(plan),
      globals_(globals),
      client_(connection.client()),
      interrupts_(interrupts),
      several_(plan.limit.has_value() ||
               plan.mixes.size() * plan.steps.size() > 1) {
  if (!globals.server.empty()) {
    ClientOptions options;
    options.credentials = connection.credentials();
    options.server_name = globals.server_name;
    channels_ = load::ConnectChannels(globals.server, plan.channels, options,
                                      plan.channel_settings);
  }
  while (channels_.size() < static_cast<size_t>(plan.channels)) {
    channels_.push_back(connection.InProcessChannel());
  }
}

absl::Status LoadSession::Run() {
  absl::Status status = RunMixes();
  partial_ = !status.ok() || stopped();
  return status;
}

absl::Status LoadSession::RunMixes() {
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

absl::Status LoadSession::RunMix(const load::Workload& workload,
                                 const load::MixOptions& mix) {
  std::unique_ptr<AnswerCheck> check;
  if (plan_.steps.front().verify_fraction > 0) {
    absl::StatusOr<std::unique_ptr<AnswerCheck>> created =
        AnswerCheck::Create(workload);
    if (!created.ok()) return created.status();
    check = *std::move(created);
  }
  const load::Verifier verify = [&check](size_t variant,
                                         const grpc::ByteBuffer& reply) {
    return check->Check(variant, reply);
  };
  const std::string calls = Describe(mix);
  const uint64_t size = mix.sizes.size() == 1 ? mix.sizes.front().value : 0;
  if (!globals_.json && several_) {
    std::cout << calls << '\n';
    PrintTableHeader();
  }
  const RunFunction run = [&](const load::StepOptions& step) {
    rows_.push_back({.calls = calls,
                     .real_bytes = size,
                     .result = RunStep(workload, step, verify)});
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

load::StepResult LoadSession::RunStep(const load::Workload& workload,
                                      const load::StepOptions& step,
                                      const load::Verifier& verify) {
  interrupts_.set_running(true);
  load::StepResult result =
      load::RunStep(workload, channels_, step, verify,
                    [this](const load::Progress& progress) {
                      live_.Show(progress);
                      return !interrupts_.came();
                    });
  // What was measured must still be shown, however long that takes.
  if (!interrupts_.came()) interrupts_.set_running(false);
  live_.Clear();
  return result;
}

void LoadSession::Show(const load::Row& row) const {
  if (globals_.json) return;
  if (several_) {
    PrintTableLine(row);
  } else {
    PrintStep(row);
  }
}

void LoadSession::Search(const RunFunction& run) {
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
  limits_.push_back(std::move(json));
  if (!globals_.json && !limit.stopped) {
    PrintLimit(limit, plan_.limit->p99_below);
  }
}

nlohmann::ordered_json LoadSession::Json() const {
  nlohmann::ordered_json json;
  json["target"] =
      globals_.server.empty() ? "inside this process" : globals_.server;
  json["server"] = ToJson(info_);
  json["measured_at"] =
      absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", begin_, absl::UTCTimeZone());
  json["channels"] = plan_.channels;
  json["client_cores"] = load::Cores();
  json["partial"] = partial_;
  json["steps"] = nlohmann::ordered_json::array();
  for (const load::Row& row : rows_) {
    json["steps"].push_back(load::ToJson(row));
  }
  json["limits"] = limits_;
  return json;
}

}  // namespace halfstep::cli

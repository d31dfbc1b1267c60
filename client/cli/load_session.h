// The steps of `halfstep load`, one after the other, shown as they end.
#ifndef HALFSTEP_CLIENT_CLI_LOAD_SESSION_H_
#define HALFSTEP_CLIENT_CLI_LOAD_SESSION_H_

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "client/cli/command.h"
#include "client/cli/connection.h"
#include "client/cli/load_interrupts.h"
#include "client/cli/load_options.h"
#include "client/cli/load_print.h"
#include "client/load/results.h"
#include "client/load/run_step.h"

namespace halfstep::cli {

// What it is made of must outlive it.
class LoadSession {
 public:
  LoadSession(const LoadPlan& plan, const GlobalOptions& globals,
              Connection& connection, Interrupts& interrupts);

  // Runs all steps, until one is stopped. Otherwise errors of what comes before
  // a step: no server, a call that it refuses.
  absl::Status Run();

  // The steps that ran; only the last one can have been stopped.
  const std::vector<load::Row>& rows() const { return rows_; }

  // Everything measured; docs/load.md explains every member.
  nlohmann::ordered_json Json() const;

 private:
  using RunFunction = std::function<load::StepResult(const load::StepOptions&)>;

  bool stopped() const {
    return !rows_.empty() && rows_.back().result.partial();
  }
  absl::Status RunMixes();
  absl::Status RunMix(const load::Workload& workload,
                      const load::MixOptions& mix);
  load::StepResult RunStep(const load::Workload& workload,
                           const load::StepOptions& step,
                           const load::Verifier& verify);
  void Search(const RunFunction& run);
  void Show(const load::Row& row) const;

  const LoadPlan& plan_;
  const GlobalOptions& globals_;
  Client& client_;
  Interrupts& interrupts_;
  const bool several_;
  const absl::Time begin_ = absl::Now();
  std::vector<std::shared_ptr<grpc::Channel>> channels_;
  v1::GetServerInfoResponse info_;
  LiveLine live_;
  std::vector<load::Row> rows_;
  nlohmann::ordered_json limits_ = nlohmann::ordered_json::array();
  bool partial_ = false;
};

}  // namespace halfstep::cli

#endif  // HALFSTEP_CLIENT_CLI_LOAD_SESSION_H_

// The options of `halfstep load`, and the run that they make.
#ifndef HALFSTEP_CLIENT_CLI_LOAD_OPTIONS_H_
#define HALFSTEP_CLIENT_CLI_LOAD_OPTIONS_H_

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/load/limit.h"
#include "client/load/step.h"
#include "client/load/workload.h"

namespace halfstep::cli {

struct LoadOptions {
  std::vector<double> rates;
  std::vector<int> concurrencies;
  std::string arrivals = "constant";
  bool find_rate = false;
  std::string p99_below = "10ms";
  int steps_max = 16;

  std::string duration = "10s";
  std::string warmup = "1s";

  std::vector<std::string> rpcs = {"quantize"};
  std::vector<std::string> sizes = {"64KiB"};
  std::vector<std::string> sweep_sizes;
  std::vector<std::string> schemes = {"asymmetric"};
  std::string dtype = "float32";
  uint32_t bits = 0;
  std::string packing;
  int64_t group_size = 0;
  std::string method;  // empty: not given
  bool measure_error = false;
  uint64_t seed = 1;

  int channels = 4;
  std::vector<std::string> channel_settings;
  int threads = 2;
  int outstanding_max = 10'000;
  std::vector<double> verify;  // empty: not asked for

  std::string csv_file;
  std::string html_file;
};

// Adds the options to `command`; `options` must live as long as it does.
void AddLoadOptions(CLI::App& command, LoadOptions& options);

struct LoadPlan {
  // One after the other, each with all of `steps`.
  std::vector<load::MixOptions> mixes;
  // One after the other. With `limit`, one: what every try is but for its rate.
  std::vector<load::StepOptions> steps;
  std::optional<load::LimitOptions> limit;
  int channels = 1;
  std::vector<load::ChannelSetting> channel_settings;
};

// INVALID_ARGUMENT, naming the option, if one is out of range.
absl::StatusOr<LoadPlan> PlanOf(const LoadOptions& options,
                                double timeout_seconds);

}  // namespace halfstep::cli

#endif  // HALFSTEP_CLIENT_CLI_LOAD_OPTIONS_H_

// halfstep calibrate: tensors to a state, states to their sum.
#include <cstdint>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/command.h"
#include "client/cli/connection.h"
#include "client/cli/large_tensor.h"
#include "client/cli/report.h"
#include "client/cli/tensor_input.h"
#include "client/message_json.h"
#include "client/npy.h"
#include "client/tensor_stream_file.h"

namespace halfstep::cli {
namespace {

struct Options {
  std::vector<std::string> files;
  std::optional<int32_t> axis;
  std::string begin;
  bool merge = false;
  std::string output;
};

std::string Extreme(const v1::CalibrationState& state, bool is_max) {
  std::optional<double> extreme;
  for (const v1::CalibrationState::Summary& summary : state.summaries()) {
    if (summary.count() == 0) continue;
    const double here = is_max ? summary.max() : summary.min();
    if (!extreme.has_value() || (is_max ? here > *extreme : here < *extreme)) {
      extreme = here;
    }
  }
  return extreme.has_value() ? absl::StrCat(*extreme) : "none";
}

void PrintForPeople(const v1::CalibrationState& state,
                    const std::string& output) {
  uint64_t count = 0;
  uint64_t non_finite = 0;
  uint64_t buckets = 0;
  for (const v1::CalibrationState::Summary& summary : state.summaries()) {
    count += summary.count();
    non_finite += summary.non_finite_count();
    buckets += static_cast<uint64_t>(summary.bucket_count_size());
  }
  Report report;
  report.Add("reals", absl::StrCat(count));
  report.Add("not finite", absl::StrCat(non_finite));
  report.Add("min", Extreme(state, false));
  report.Add("max", Extreme(state, true));
  report.Add("summaries",
             state.has_axis()
                 ? absl::StrCat(state.summaries_size(),
                                ", one per index of axis ", state.axis())
                 : "1");
  report.Add("buckets", absl::StrCat(buckets));
  if (!output.empty()) report.Add("written", output);
  report.Print();
}

ExitCode Show(const v1::CalibrationState& state, const Options& options,
              const GlobalOptions& globals) {
  if (!options.output.empty()) {
    const absl::Status written = WriteJson(options.output, state);
    if (!written.ok()) return Fail(ExitCode::kFile, written);
  }
  if (globals.json) {
    PrintJson(ToJson(state));
  } else {
    PrintForPeople(state, options.output);
  }
  return ExitCode::kDone;
}

ExitCode Merge(const Options& options, const GlobalOptions& globals) {
  v1::MergeRequest request;
  for (const std::string& path : options.files) {
    const absl::Status read = ReadJson(path, *request.add_states());
    if (!read.ok()) return Fail(ExitCode::kFile, read);
  }
  return WithClient(globals, [&](Client& client) {
    const absl::StatusOr<v1::MergeResponse> response = client.Merge(request);
    if (!response.ok()) return FailCall(response.status());
    return Show(response->state(), options, globals);
  });
}

ExitCode Observe(const Options& options, const GlobalOptions& globals) {
  std::optional<v1::CalibrationState> state;
  if (!options.begin.empty()) {
    const absl::Status read = ReadJson(options.begin, state.emplace());
    if (!read.ok()) return Fail(ExitCode::kFile, read);
  }
  std::vector<NpyFile> files;
  for (const std::string& path : options.files) {
    absl::StatusOr<NpyFile> file = NpyFile::Open(path);
    if (!file.ok()) return Fail(ExitCode::kFile, file.status());
    files.push_back(*std::move(file));
  }
  return WithClient(globals, [&](Client& client) {
    const absl::StatusOr<MessageSizes> sizes = AskMessageSizes(client);
    if (!sizes.ok()) return FailCall(sizes.status());
    for (size_t i = 0; i < files.size(); ++i) {
      // Each file goes on from the state of those before.
      std::optional<int32_t> axis = options.axis;
      if (state.has_value()) {
        axis = state->has_axis() ? std::optional<int32_t>(state->axis())
                                 : std::nullopt;
      }
      absl::StatusOr<v1::CalibrationState> after =
          ObserveFile(options.files[i], files[i], axis, std::move(state),
                      sizes->piece_bytes, client);
      if (!after.ok()) return FailLarge(after.status());
      state = *std::move(after);
    }
    return Show(*state, options, globals);
  });
}

ExitCode Run(const Options& options, const GlobalOptions& globals) {
  for (const std::string& path : options.files) {
    if (options.output.empty()) break;
    const absl::Status output = CheckOutput(path, options.output);
    // A state may be replaced by one that goes on from it, a tensor may not.
    if (!output.ok()) return Fail(ExitCode::kUsage, output);
  }
  return options.merge ? Merge(options, globals) : Observe(options, globals);
}

}  // namespace

void AddCalibrate(Commands& commands) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = commands.Add(
      "calibrate", "Summarize tensors, to choose scales for others like them",
      "  halfstep calibrate a.npy b.npy -o state.json\n"
      "  halfstep calibrate --merge worker1.json worker2.json -o state.json\n"
      "  halfstep parameters state.json --method mse -o parameters.json\n"
      "  halfstep quantize c.npy --parameters parameters.json -o c_codes",
      [options](const GlobalOptions& globals) {
        return Run(*options, globals);
      });
  command
      ->add_option("FILES", options->files,
                   "Tensors (.npy); with --merge, states (.json)")
      ->required()
      ->type_name("FILE")
      ->option_text("FILE...");
  CLI::Option* axis =
      command
          ->add_option("--axis", options->axis,
                       "One summary per index along this axis [one in all]")
          ->option_text("AXIS");
  CLI::Option* begin = command
                           ->add_option("--begin", options->begin,
                                        "Go on from this state (.json)")
                           ->option_text("FILE");
  begin->excludes(axis);
  command->add_flag("--merge", options->merge, "Add states up")
      ->excludes(axis)
      ->excludes(begin);
  command
      ->add_option("-o,--output", options->output,
                   "Write the state to this .json file")
      ->option_text("FILE");
}

}  // namespace halfstep::cli

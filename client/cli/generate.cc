// halfstep generate: the notebook's kind of tensor, number for number.
//
//   np.random.seed(SEED)
//   params = np.random.uniform(LOW, HIGH, SIZE)
//   params[0] = params.max() + 1    # --edit 0=max+1, each on what is there
//   then params = np.round(params, 4)    # --round 4
#include <cmath>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "client/cli/command.h"
#include "client/cli/edit.h"
#include "client/cli/report.h"
#include "client/numpy_print.h"
#include "client/numpy_random.h"
#include "client/tensor_file.h"

namespace halfstep::cli {
namespace {

struct Options {
  double low = -20;
  double high = 200;
  size_t size = 15;
  uint32_t seed = 0;
  std::vector<std::string> edits;
  int round = -1;  // not given
  std::string output;
};

absl::StatusOr<std::vector<double>> Generate(const Options& options) {
  if (!std::isfinite(options.high - options.low)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--high, --low: ", options.high - options.low,
                     " apart; must be a finite distance"));
  }
  NumpyRandom random(options.seed);
  std::vector<double> reals =
      random.Uniform({.low = options.low, .high = options.high}, options.size);
  for (const std::string& text : options.edits) {
    const absl::Status status = ApplyEdit(text, reals);
    if (!status.ok()) return status;
  }
  if (options.round >= 0) reals = RoundDecimals(reals, options.round);
  return reals;
}

ExitCode Run(const Options& options, const GlobalOptions& globals) {
  const absl::StatusOr<std::vector<double>> reals = Generate(options);
  if (!reals.ok()) return Fail(ExitCode::kUsage, reals.status());
  v1::Tensor tensor;
  tensor.set_dtype(v1::DATA_TYPE_FLOAT64);
  tensor.add_shape(static_cast<int64_t>(reals->size()));
  tensor.mutable_values()->Add(reals->begin(), reals->end());
  if (!options.output.empty()) {
    const absl::Status status = WriteTensor(options.output, tensor);
    if (!status.ok()) return Fail(ExitCode::kFile, status);
  }
  if (globals.json) {
    PrintJson({{"tensor", RealsToJson(tensor, true)}});
  } else {
    std::cout << FormatArray(*reals) << '\n';
  }
  return ExitCode::kDone;
}

}  // namespace

void AddGenerate(Commands& commands) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = commands.Add(
      "generate", "Make a tensor with NumPy's random numbers",
      "  halfstep generate --low -20 --high 200 --size 15 --seed 42 \\\n"
      "      --edit 0=max+1 --edit 1=min-1 --edit 2=0 --round 4 -o params.npy",
      [options](const GlobalOptions& globals) {
        return Run(*options, globals);
      });
  command->add_option("--low", options->low, "The smallest real [-20]")
      ->option_text("REAL");
  command->add_option("--high", options->high, "All reals are below [200]")
      ->option_text("REAL");
  command->add_option("--size", options->size, "How many [15]")
      ->check(CLI::Range(size_t{0}, size_t{1} << 27))
      ->option_text("COUNT");
  command->add_option("--seed", options->seed, "For np.random.seed [0]")
      ->option_text("SEED");
  command
      ->add_option("--edit", options->edits,
                   "Set an element, one edit after the other: WHAT is a "
                   "number, max or min, or one "
                   "of these with +NUMBER or -NUMBER")
      ->allow_extra_args(false)
      ->option_text("INDEX=WHAT");
  command->add_option("--round", options->round, "Round as np.round does it")
      ->check(CLI::Range(0, 22))
      ->option_text("DECIMALS");
  command
      ->add_option("-o,--output", options->output,
                   "Write the reals to this .npy file as float64")
      ->option_text("FILE");
}

}  // namespace halfstep::cli

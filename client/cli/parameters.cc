// halfstep parameters: from a calibration state, or known ranges, to parameters
// for static quantization.
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/command.h"
#include "client/cli/connection.h"
#include "client/cli/enum_names.h"
#include "client/cli/report.h"
#include "client/cli/spec_options.h"
#include "client/message_json.h"
#include "client/tensor_stream_file.h"

namespace halfstep::cli {
namespace {

struct Options {
  std::string state;
  std::vector<double> min;
  std::vector<double> max;
  SpecOptions spec;
  std::string method = "min_max";
  double quantile = 0;
  std::string dtype = "float32";
  bool whole = false;
  std::string output;
};

absl::Status SetSource(const Options& options,
                       v1::ComputeParametersRequest& request) {
  if (options.state.empty()) {
    request.mutable_ranges()->mutable_min()->Add(options.min.begin(),
                                                 options.min.end());
    request.mutable_ranges()->mutable_max()->Add(options.max.begin(),
                                                 options.max.end());
    return absl::OkStatus();
  }
  const absl::Status read = ReadJson(options.state, *request.mutable_state());
  if (!read.ok()) return read;
  // What was observed per index is wanted per index, unless said otherwise.
  v1::QuantizationSpec& spec = *request.mutable_spec();
  if (request.state().has_axis() && !options.whole && !spec.has_granularity()) {
    spec.mutable_granularity()->set_axis(request.state().axis());
  }
  return absl::OkStatus();
}

ExitCode Run(const Options& options, const GlobalOptions& globals) {
  v1::ComputeParametersRequest request;
  *request.mutable_spec() = SpecOf(options.spec);
  request.set_method(ValueOf<v1::CalibrationMethod>(options.method));
  request.set_quantile(options.quantile);
  request.set_dtype(ValueOf<v1::DataType>(options.dtype));
  const absl::Status source = SetSource(options, request);
  if (!source.ok()) return Fail(ExitCode::kFile, source);
  return WithClient(globals, [&](Client& client) {
    const absl::StatusOr<v1::ComputeParametersResponse> response =
        client.ComputeParameters(request);
    if (!response.ok()) return FailCall(response.status());
    if (!options.output.empty()) {
      const absl::Status written =
          WriteJson(options.output, response->parameters());
      if (!written.ok()) return Fail(ExitCode::kFile, written);
    }
    if (globals.json) {
      PrintJson(ToJson(*response));
      return ExitCode::kDone;
    }
    Report report;
    report.AddParameters(response->parameters());
    if (response->has_expected_error()) {
      // Of data like that observed; which element is worst, nobody knows.
      const v1::ErrorReport& error = response->expected_error();
      report.Add("expected mean squared error",
                 absl::StrCat(error.mean_squared_error()));
      report.Add("expected mean absolute error",
                 absl::StrCat(error.mean_absolute_error()));
      report.Add("expected max absolute error",
                 absl::StrCat(error.max_absolute_error()));
      report.Add("expected SQNR", absl::StrFormat("%.2f dB", error.sqnr_db()));
    }
    if (!options.output.empty()) report.Add("written", options.output);
    report.Print();
    return ExitCode::kDone;
  });
}

}  // namespace

void AddParameters(Commands& commands) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = commands.Add(
      "parameters", "Choose scales and zero points from a calibration state",
      "  halfstep parameters state.json --method mse --bits 4 -o p.json\n"
      "  halfstep parameters --min -1 --max 3 -o p.json\n"
      "  halfstep quantize c.npy --parameters p.json -o c_codes",
      [options](const GlobalOptions& globals) {
        return Run(*options, globals);
      });
  CLI::Option_group* source = command->add_option_group("Source");
  CLI::Option* state =
      source
          ->add_option("STATE", options->state,
                       "What halfstep calibrate has written (.json)")
          ->type_name("FILE")
          ->option_text("STATE");
  CLI::Option* min =
      source
          ->add_option("--min", options->min,
                       "Ranges known otherwise, with --max and instead of "
                       "STATE: the smallest real of each")
          ->delimiter(',')
          ->option_text("REAL,...")
          ->allow_extra_args(false)
          ->excludes(state);
  CLI::Option* max =
      command->add_option("--max", options->max, "The largest real of each")
          ->delimiter(',')
          ->option_text("REAL,...")
          ->allow_extra_args(false)
          ->needs(min);
  min->needs(max);
  source->require_option(1, 0);
  command
      ->add_option(
          "--method", options->method,
          absl::StrCat("How to choose from the state [", options->method, "]"))
      ->check(CLI::IsMember(ShortNames<v1::CalibrationMethod>()))
      ->option_text(Choice<v1::CalibrationMethod>());
  command
      ->add_option(
          "--quantile", options->quantile,
          "For --method percentile: the share of reals to keep [0.9999]")
      ->option_text("SHARE");
  command
      ->add_option(
          "--dtype", options->dtype,
          absl::StrCat("What will be quantized [", options->dtype, "]"))
      ->check(CLI::IsMember(ShortNames<v1::DataType>()))
      ->option_text(Choice<v1::DataType>());
  command->add_flag("--whole", options->whole,
                    "One pair for all, though the state has an axis");
  AddSpecOptions(*command, options->spec);
  command->remove_option(command->get_option("--parameters"));
  command
      ->add_option("-o,--output", options->output,
                   "Write the parameters to this .json file")
      ->option_text("FILE");
}

}  // namespace halfstep::cli

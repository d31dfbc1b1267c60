// halfstep fake-quantize: reals as a quantized model would see them.
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "client/cli/command.h"
#include "client/cli/connection.h"
#include "client/cli/report.h"
#include "client/cli/spec_options.h"
#include "client/cli/tensor_input.h"
#include "client/elements.h"
#include "client/message_json.h"
#include "client/npy.h"
#include "client/numpy_print.h"
#include "client/tensor_file.h"

namespace halfstep::cli {
namespace {

struct Options {
  TensorInput input;
  SpecOptions spec;
  bool measure_error = false;
  std::string output;
  std::string mask_output;
};

// The straight-through mask, one byte per element: 1 where a gradient passes.
NpyArray MaskArray(const v1::FakeQuantizeResponse& response) {
  NpyArray mask{.type = NpyType::kUint8,
                .shape = {response.tensor().shape().begin(),
                          response.tensor().shape().end()},
                .bytes = {}};
  const size_t count = RealsOf(response.tensor()).size();
  const std::string& bits = response.gradient_mask();
  for (size_t i = 0; i < count && i / 8 < bits.size(); ++i) {
    mask.bytes.push_back(static_cast<char>(bits[i / 8] >> (i % 8) & 1));
  }
  return mask;
}

void PrintForMachines(v1::FakeQuantizeResponse response, bool with_reals) {
  const v1::Tensor tensor = response.tensor();
  response.clear_tensor();
  response.clear_gradient_mask();
  nlohmann::ordered_json json = ToJson(response);
  json["tensor"] = RealsToJson(tensor, with_reals);
  PrintJson(json);
}

void PrintForPeople(const v1::FakeQuantizeResponse& response,
                    const Options& options) {
  Report report;
  report.AddTensor(response.tensor().dtype(), response.tensor().shape());
  report.AddParameters(response.parameters());
  report.AddCuts(response.cuts());
  if (response.has_error()) report.AddError(response.error());
  for (const std::string& path : {options.output, options.mask_output}) {
    if (!path.empty()) report.Add("written", path);
  }
  report.Print();
  if (options.output.empty()) {
    std::cout << FormatArray(RealsOf(response.tensor())) << '\n';
  }
}

absl::Status Write(const v1::FakeQuantizeResponse& response,
                   const Options& options) {
  if (!options.output.empty()) {
    absl::Status status = WriteTensor(options.output, response.tensor());
    if (!status.ok()) return status;
  }
  if (options.mask_output.empty()) return absl::OkStatus();
  return WriteNpy(options.mask_output, MaskArray(response));
}

ExitCode Run(const Options& options, const GlobalOptions& globals) {
  v1::FakeQuantizeRequest request;
  absl::StatusOr<v1::Tensor> tensor = Load(options.input);
  if (!tensor.ok()) return Fail(ExitCode::kFile, tensor.status());
  for (const std::string& path : {options.output, options.mask_output}) {
    const absl::Status output = CheckOutput(options.input.file, path);
    if (!output.ok()) return Fail(ExitCode::kUsage, output);
  }
  *request.mutable_tensor() = *std::move(tensor);
  request.set_measure_error(options.measure_error);
  request.set_gradient_mask(!options.mask_output.empty());
  const absl::Status how = SetHow(options.spec, request);
  if (!how.ok()) return Fail(ExitCode::kFile, how);
  return WithClient(globals, [&](Client& client) {
    const absl::StatusOr<v1::FakeQuantizeResponse> response =
        client.FakeQuantize(request);
    if (!response.ok()) return FailCall(response.status());
    const absl::Status written = Write(*response, options);
    if (!written.ok()) return Fail(ExitCode::kFile, written);
    if (globals.json) {
      PrintForMachines(*response, options.output.empty());
    } else {
      PrintForPeople(*response, options);
    }
    return ExitCode::kDone;
  });
}

}  // namespace

void AddFakeQuantize(Commands& commands) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = commands.Add(
      "fake-quantize", "Quantize and dequantize in one step, for training",
      "  halfstep fake-quantize weights.npy --bits 4 -o seen.npy --mask "
      "mask.npy",
      [options](const GlobalOptions& globals) {
        return Run(*options, globals);
      });
  AddTensorInput(*command, options->input);
  AddSpecOptions(*command, options->spec);
  command->add_flag("--error", options->measure_error,
                    "Also measure what was lost");
  command
      ->add_option("-o,--output", options->output,
                   "Write the reals to this .npy file")
      ->option_text("FILE");
  command
      ->add_option("--mask", options->mask_output,
                   "Write to this .npy file where a gradient passes: 1 or 0 "
                   "per element")
      ->option_text("FILE");
}

}  // namespace halfstep::cli

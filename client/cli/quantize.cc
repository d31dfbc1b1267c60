// halfstep quantize: reals to codes.
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/command.h"
#include "client/cli/connection.h"
#include "client/cli/large_tensor.h"
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
};

void PrintForMachines(const v1::QuantizeResponse& response, bool with_codes) {
  v1::QuantizeResponse shown = response;
  const bool dense =
      response.tensor().parameters().spec().packing() == v1::PACKING_DENSE;
  // Codes that have bytes of their own are more use as numbers.
  if (with_codes && !dense) {
    const std::vector<int64_t> codes = CodesOf(response.tensor());
    shown.mutable_tensor()->mutable_values()->Assign(codes.begin(),
                                                     codes.end());
    shown.mutable_tensor()->clear_codes();
  }
  if (!with_codes) {
    shown.mutable_tensor()->clear_values();
    shown.mutable_tensor()->clear_codes();
  }
  nlohmann::ordered_json json = ToJson(shown);
  if (shown.tensor().values().empty()) json["tensor"].erase("values");
  PrintJson(json);
}

void PrintForPeople(const v1::QuantizeResponse& response,
                    const std::string& base) {
  const v1::QuantizedTensor& tensor = response.tensor();
  Report report;
  report.AddTensor(tensor.dtype(), tensor.shape());
  report.AddParameters(tensor.parameters());
  report.AddCuts(response.cuts());
  if (response.has_error()) report.AddError(response.error());
  if (!base.empty()) {
    report.Add("written", absl::StrCat(base, ".npy, ", base, ".json"));
  }
  report.Print();
  if (base.empty()) std::cout << FormatArray(CodesOf(tensor)) << '\n';
}

ExitCode Show(const v1::QuantizeResponse& response, const std::string& base,
              const GlobalOptions& globals) {
  if (globals.json) {
    PrintForMachines(response, base.empty());
  } else {
    PrintForPeople(response, base);
  }
  return ExitCode::kDone;
}

// For a file that one message cannot hold.
ExitCode RunLarge(const Options& options, const std::string& base,
                  const NpyFile& file, uint64_t piece_bytes,
                  const GlobalOptions& globals, Client& client) {
  if (base.empty()) {
    return Fail(ExitCode::kUsage,
                absl::InvalidArgumentError(
                    "--output: not given; must be for a tensor of this size"));
  }
  v1::QuantizeStreamHeader header;
  header.set_measure_error(options.measure_error);
  const absl::Status how = SetHow(options.spec, header);
  if (!how.ok()) return Fail(ExitCode::kFile, how);
  const absl::StatusOr<v1::QuantizeResponse> response = QuantizeFile(
      options.input.file, file, std::move(header), base, piece_bytes, client);
  if (!response.ok()) return FailLarge(response.status());
  return Show(*response, base, globals);
}

ExitCode RunWhole(const Options& options, const std::string& base,
                  const GlobalOptions& globals, Client& client) {
  absl::StatusOr<v1::Tensor> tensor = Load(options.input);
  if (!tensor.ok()) return Fail(ExitCode::kFile, tensor.status());
  v1::QuantizeRequest request;
  *request.mutable_tensor() = *std::move(tensor);
  request.set_measure_error(options.measure_error);
  const absl::Status how = SetHow(options.spec, request);
  if (!how.ok()) return Fail(ExitCode::kFile, how);
  const absl::StatusOr<v1::QuantizeResponse> response =
      client.Quantize(request);
  if (!response.ok()) return FailCall(response.status());
  if (!base.empty()) {
    const absl::Status status = WriteQuantized(base, response->tensor());
    if (!status.ok()) return Fail(ExitCode::kFile, status);
  }
  return Show(*response, base, globals);
}

ExitCode Run(const Options& options, const GlobalOptions& globals) {
  std::optional<NpyFile> file;
  if (!options.input.file.empty()) {
    absl::StatusOr<NpyFile> opened = NpyFile::Open(options.input.file);
    if (!opened.ok()) return Fail(ExitCode::kFile, opened.status());
    file.emplace(*std::move(opened));
  }
  const std::string base = BaseOf(options.output);
  if (!options.output.empty()) {
    const std::string name = std::filesystem::path(base).filename();
    if (name.empty() || name == "." || name == "..") {
      return Fail(ExitCode::kUsage,
                  absl::InvalidArgumentError(absl::StrCat(
                      "--output: ", options.output, "; must name files")));
    }
    const absl::Status output =
        CheckOutput(options.input.file, absl::StrCat(base, ".npy"));
    if (!output.ok()) return Fail(ExitCode::kUsage, output);
  }
  return WithClient(globals, [&](Client& client) {
    if (!file.has_value()) return RunWhole(options, base, globals, client);
    // A code has at most 4 bytes.
    const uint64_t elements =
        file->header().data_bytes / ByteSize(file->header().type);
    const uint64_t bytes = std::max(file->header().data_bytes, 4 * elements);
    const absl::StatusOr<MessageSizes> sizes = AskMessageSizes(client);
    if (!sizes.ok()) return FailCall(sizes.status());
    return bytes > sizes->bytes_max
               ? RunLarge(options, base, *file, sizes->piece_bytes, globals,
                          client)
               : RunWhole(options, base, globals, client);
  });
}

}  // namespace

void AddQuantize(Commands& commands) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = commands.Add(
      "quantize", "Turn reals into codes with a scale and a zero point",
      "  halfstep quantize --values 199.93,-9.18,0,7.15 --bits 4 --error\n"
      "  halfstep quantize weights.npy --scheme symmetric --axis 0 -o codes",
      [options](const GlobalOptions& globals) {
        return Run(*options, globals);
      });
  AddTensorInput(*command, options->input);
  AddSpecOptions(*command, options->spec);
  command->add_flag("--error", options->measure_error,
                    "Also measure what was lost");
  command
      ->add_option("-o,--output", options->output,
                   "Write the codes to OUTPUT.npy and what gives them their "
                   "meaning to OUTPUT.json")
      ->type_name("FILE")
      ->option_text("OUTPUT");
}

}  // namespace halfstep::cli

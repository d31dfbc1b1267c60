// halfstep dequantize: codes back to reals.
#include <memory>

#include "absl/strings/str_cat.h"
#include "client/cli/command.h"
#include "client/cli/connection.h"
#include "client/cli/enum_names.h"
#include "client/cli/report.h"
#include "client/cli/tensor_input.h"
#include "client/tensor_file.h"

namespace halfstep::cli {
namespace {

struct Options {
  std::string input;
  std::string output;
  std::string dtype;
};

ExitCode Run(const Options& options, const GlobalOptions& globals) {
  const std::string base = BaseOf(options.input);
  absl::StatusOr<v1::QuantizedTensor> tensor = ReadQuantized(base);
  if (!tensor.ok()) return Fail(ExitCode::kFile, tensor.status());
  const absl::Status output =
      CheckOutput(absl::StrCat(base, ".npy"), options.output);
  if (!output.ok()) return Fail(ExitCode::kUsage, output);
  v1::DequantizeRequest request;
  *request.mutable_tensor() = *std::move(tensor);
  request.set_dtype(ValueOf<v1::DataType>(options.dtype));
  return WithClient(globals, [&](Client& client) {
    const absl::StatusOr<v1::DequantizeResponse> response =
        client.Dequantize(request);
    if (!response.ok()) return FailCall(response.status());
    if (!options.output.empty()) {
      const absl::Status status =
          WriteTensor(options.output, response->tensor());
      if (!status.ok()) return Fail(ExitCode::kFile, status);
    }
    PrintReals(response->tensor(), options.output, globals.json);
    return ExitCode::kDone;
  });
}

}  // namespace

void AddDequantize(Commands& commands) {
  const auto options = std::make_shared<Options>();
  CLI::App* command =
      commands.Add("dequantize", "Turn codes back into reals",
                   "  halfstep dequantize codes -o reconstructed.npy",
                   [options](const GlobalOptions& globals) {
                     return Run(*options, globals);
                   });
  command
      ->add_option("CODES", options->input,
                   "What quantize -o was given: reads CODES.npy and CODES.json")
      ->required()
      ->option_text("CODES");
  command
      ->add_option("--dtype", options->dtype,
                   "The type of the reals [the one they had]")
      ->check(CLI::IsMember(ShortNames<v1::DataType>()))
      ->option_text(Choice<v1::DataType>());
  command
      ->add_option("-o,--output", options->output,
                   "Write the reals to this .npy file")
      ->option_text("FILE");
}

}  // namespace halfstep::cli

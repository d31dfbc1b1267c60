// halfstep error: how far a reconstruction is from the original.
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "client/cli/command.h"
#include "client/cli/connection.h"
#include "client/cli/report.h"
#include "client/message_json.h"
#include "client/tensor_file.h"

namespace halfstep::cli {
namespace {

struct Options {
  std::string original;
  std::string against;
};

absl::StatusOr<v1::MeasureErrorRequest> RequestOf(const Options& options) {
  v1::MeasureErrorRequest request;
  absl::StatusOr<v1::Tensor> original = ReadTensor(options.original);
  if (!original.ok()) return original.status();
  *request.mutable_original() = *std::move(original);
  if (absl::EndsWith(options.against, ".npy")) {
    absl::StatusOr<v1::Tensor> reconstructed = ReadTensor(options.against);
    if (!reconstructed.ok()) return reconstructed.status();
    *request.mutable_reconstructed() = *std::move(reconstructed);
    return request;
  }
  absl::StatusOr<v1::QuantizedTensor> quantized =
      ReadQuantized(BaseOf(options.against));
  if (!quantized.ok()) return quantized.status();
  *request.mutable_quantized() = *std::move(quantized);
  return request;
}

ExitCode Run(const Options& options, const GlobalOptions& globals) {
  const absl::StatusOr<v1::MeasureErrorRequest> request = RequestOf(options);
  if (!request.ok()) return Fail(ExitCode::kFile, request.status());
  return WithClient(globals, [&](Client& client) {
    const absl::StatusOr<v1::MeasureErrorResponse> response =
        client.MeasureError(*request);
    if (!response.ok()) return FailCall(response.status());
    if (globals.json) {
      PrintJson(ToJson(*response));
      return ExitCode::kDone;
    }
    Report report;
    report.Add("elements", std::to_string(response->error().element_count()));
    report.AddError(response->error());
    report.Print();
    return ExitCode::kDone;
  });
}

}  // namespace

void AddError(Commands& commands) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = commands.Add(
      "error", "Compare a tensor with its reconstruction or its codes",
      "  halfstep error weights.npy codes\n"
      "  halfstep error weights.npy reconstructed.npy",
      [options](const GlobalOptions& globals) {
        return Run(*options, globals);
      });
  command->add_option("ORIGINAL", options->original, "A .npy file of reals")
      ->required()
      ->type_name("FILE")
      ->option_text("ORIGINAL");
  command
      ->add_option("AGAINST", options->against,
                   "A .npy file of reals, or without that ending what quantize "
                   "-o was given")
      ->required()
      ->type_name("FILE")
      ->option_text("AGAINST");
}

}  // namespace halfstep::cli

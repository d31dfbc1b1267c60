// halfstep dequantize: codes back to reals.
#include <memory>

#include "absl/strings/str_cat.h"
#include "client/cli/command.h"
#include "client/cli/connection.h"
#include "client/cli/enum_names.h"
#include "client/cli/large_tensor.h"
#include "client/cli/report.h"
#include "client/cli/tensor_input.h"
#include "client/tensor_file.h"
#include "client/tensor_stream_file.h"

namespace halfstep::cli {
namespace {

struct Options {
  std::string input;
  std::string output;
  std::string dtype;
};

// For a tensor that one message cannot hold, one way or the other.
ExitCode RunLarge(const Options& options, const std::string& base,
                  const v1::QuantizedTensor& description, uint64_t piece_bytes,
                  const GlobalOptions& globals, Client& client) {
  if (options.output.empty()) {
    return Fail(ExitCode::kUsage,
                absl::InvalidArgumentError(
                    "--output: not given; must be for a tensor of this size"));
  }
  const auto dtype = ValueOf<v1::DataType>(options.dtype);
  if (dtype != v1::DATA_TYPE_UNSPECIFIED && dtype != description.dtype()) {
    return Fail(ExitCode::kUsage,
                absl::InvalidArgumentError(absl::StrCat(
                    "--dtype: ", options.dtype, "; must be ",
                    ShortName(description.dtype()),
                    ", that of the reals, for a tensor of this size")));
  }
  const absl::Status done =
      DequantizeFile(base, description, options.output, piece_bytes, client);
  if (!done.ok()) return FailLarge(done);
  v1::Tensor reals;
  reals.set_dtype(description.dtype());
  *reals.mutable_shape() = description.shape();
  PrintReals(reals, options.output, globals.json);
  return ExitCode::kDone;
}

ExitCode RunWhole(const Options& options, const std::string& base,
                  const GlobalOptions& globals, Client& client) {
  absl::StatusOr<v1::QuantizedTensor> tensor = ReadQuantized(base);
  if (!tensor.ok()) return Fail(ExitCode::kFile, tensor.status());
  v1::DequantizeRequest request;
  *request.mutable_tensor() = *std::move(tensor);
  request.set_dtype(ValueOf<v1::DataType>(options.dtype));
  const absl::StatusOr<v1::DequantizeResponse> response =
      client.Dequantize(request);
  if (!response.ok()) return FailCall(response.status());
  if (!options.output.empty()) {
    const absl::Status status = WriteTensor(options.output, response->tensor());
    if (!status.ok()) return Fail(ExitCode::kFile, status);
  }
  PrintReals(response->tensor(), options.output, globals.json);
  return ExitCode::kDone;
}

ExitCode Run(const Options& options, const GlobalOptions& globals) {
  const std::string base = BaseOf(options.input);
  const absl::StatusOr<v1::QuantizedTensor> description = ReadDescription(base);
  if (!description.ok()) return Fail(ExitCode::kFile, description.status());
  const absl::Status output =
      CheckOutput(absl::StrCat(base, ".npy"), options.output);
  if (!output.ok()) return Fail(ExitCode::kUsage, output);
  return WithClient(globals, [&](Client& client) {
    // Neither a code nor a real has more than 8 bytes.
    const uint64_t bytes = 8 * ElementCountOf(description->shape());
    const absl::StatusOr<MessageSizes> sizes = AskMessageSizes(client);
    if (!sizes.ok()) return FailCall(sizes.status());
    return bytes > sizes->bytes_max
               ? RunLarge(options, base, *description, sizes->piece_bytes,
                          globals, client)
               : RunWhole(options, base, globals, client);
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
      ->type_name("FILE")
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

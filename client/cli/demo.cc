// halfstep demo: the notebook that this project comes from, through a server.
//
// Only the two input tensors are written down here (docs/numerics.md, section
// 10). Codes, scales, zero points, reconstructions and errors are what the
// server replies; the wording and the array format are the notebook's.
#include <iostream>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "client/cli/command.h"
#include "client/cli/connection.h"
#include "client/elements.h"
#include "client/numpy_print.h"
#include "client/tensor_file.h"

namespace halfstep::cli {
namespace {

constexpr double kParams[] = {199.9341, -9.1758,  0,        7.1529,  123.2222,
                              101.2439, 182.7486, 88.2835,  58.6505, -8.1758,
                              -4.9222,  159.3742, 110.0036, 159.674, 198.9341};
constexpr double kParamsSymmetric[] = {
    -16.88845729, -14.73619101, -9.84795077, -2.16624371, -13.58845586,
    -13.89295657, -5.13396663,  -7.43403557, -2.02378329, -4.6139564,
    13.66297264,  12.94906411,  4.74121694,  5.52796603,  5.09095534,
    8.92738701,   7.37523507,   2.56579524,  16.80063994, 13.47113548};

// The decimals to which the notebook rounds what it prints.
constexpr int kRealDecimals = 2;
constexpr int kErrorDecimals = 2;
constexpr int kSymmetricErrorDecimals = 5;

struct Options {
  std::string tensor;
  std::string symmetric_tensor;
};

// A tensor's way through the server and back.
struct RoundTrip {
  v1::QuantizedTensor quantized;
  std::vector<double> reconstructed;
  double mean_squared_error = 0;
};

// `file` if there is one, else `reals`, as FLOAT64 values.
absl::StatusOr<v1::Tensor> InputOf(const std::string& file,
                                   absl::Span<const double> reals) {
  v1::Tensor input;
  if (!file.empty()) {
    absl::StatusOr<v1::Tensor> tensor = ReadTensor(file);
    if (!tensor.ok()) return tensor.status();
    const std::vector<double> read = RealsOf(*tensor);
    input.mutable_values()->Add(read.begin(), read.end());
  } else {
    input.mutable_values()->Add(reals.begin(), reals.end());
  }
  input.set_dtype(v1::DATA_TYPE_FLOAT64);
  input.add_shape(input.values_size());
  return input;
}

absl::StatusOr<RoundTrip> Send(Client& client, const v1::Tensor& original,
                               v1::Scheme scheme) {
  v1::QuantizeRequest quantize;
  quantize.mutable_spec()->set_scheme(scheme);
  quantize.mutable_spec()->set_bits(8);
  quantize.mutable_spec()->set_profile(v1::PROFILE_NOTEBOOK);
  *quantize.mutable_tensor() = original;
  const auto quantized = client.Quantize(quantize);
  if (!quantized.ok()) return quantized.status();

  v1::DequantizeRequest dequantize;
  *dequantize.mutable_tensor() = quantized->tensor();
  const auto reconstructed = client.Dequantize(dequantize);
  if (!reconstructed.ok()) return reconstructed.status();

  v1::MeasureErrorRequest measure;
  *measure.mutable_original() = original;
  *measure.mutable_reconstructed() = reconstructed->tensor();
  const auto error = client.MeasureError(measure);
  if (!error.ok()) return error.status();

  return RoundTrip{.quantized = quantized->tensor(),
                   .reconstructed = RealsOf(reconstructed->tensor()),
                   .mean_squared_error = error->error().mean_squared_error()};
}

void PrintReals(absl::string_view title, absl::Span<const double> reals) {
  std::cout << title << ":\n"
            << FormatArray(RoundDecimals(reals, kRealDecimals)) << "\n\n";
}

// The scale, the zero point where there is one, and the codes.
void PrintCodes(absl::string_view name, const v1::QuantizedTensor& tensor) {
  std::cout << name << " scale: " << FormatScalar(tensor.parameters().scale(0));
  for (const int32_t zero_point : tensor.parameters().zero_point()) {
    std::cout << ", zero: " << FormatScalar(zero_point);
  }
  std::cout << '\n' << FormatArray(CodesOf(tensor)) << "\n\n";
}

void PrintError(absl::string_view title, double error, int decimals) {
  std::cout << title << FormatScalar(RoundDecimals(error, decimals)) << '\n';
}

// What must be true of a reply for the sections to be printed.
absl::Status CheckPairs(const RoundTrip& trip) {
  if (trip.quantized.parameters().scale_size() == 1) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("reply: ", trip.quantized.parameters().scale_size(),
                   " scales; must be 1 per tensor"));
}

ExitCode Show(Client& client, const v1::Tensor& params,
              const v1::Tensor& params_symmetric) {
  // All calls come first: either all sections are printed or none.
  std::vector<RoundTrip> trips;
  for (const auto& [tensor, scheme] :
       {std::pair(&params, v1::SCHEME_ASYMMETRIC),
        std::pair(&params, v1::SCHEME_SYMMETRIC),
        std::pair(&params_symmetric, v1::SCHEME_SYMMETRIC)}) {
    absl::StatusOr<RoundTrip> trip = Send(client, *tensor, scheme);
    if (!trip.ok()) return FailCall(trip.status());
    const absl::Status pairs = CheckPairs(*trip);
    if (!pairs.ok()) return FailCall(pairs);
    trips.push_back(*std::move(trip));
  }
  const std::vector<double> original = RealsOf(params);
  PrintReals("Original", original);
  PrintCodes("Asymmetric", trips[0].quantized);
  PrintCodes("Symmetric", trips[1].quantized);
  PrintReals("Original", original);
  PrintReals("Dequantize Asymmetric", trips[0].reconstructed);
  PrintReals("Dequantize Symmetric", trips[1].reconstructed);
  PrintError("  Asymmetric error: ", trips[0].mean_squared_error,
             kErrorDecimals);
  PrintError("   Symmetric error: ", trips[1].mean_squared_error,
             kErrorDecimals);
  std::cout << '\n';

  const std::vector<double> original_symmetric = RealsOf(params_symmetric);
  PrintReals("Original", original_symmetric);
  PrintCodes("Symmetric", trips[2].quantized);
  PrintReals("Original", original_symmetric);
  PrintReals("Dequantize Symmetric", trips[2].reconstructed);
  PrintError("   Symmetric error: ", trips[2].mean_squared_error,
             kSymmetricErrorDecimals);
  return ExitCode::kDone;
}

ExitCode Run(const Options& options, const GlobalOptions& globals) {
  const absl::StatusOr<v1::Tensor> params = InputOf(options.tensor, kParams);
  if (!params.ok()) return Fail(ExitCode::kFile, params.status());
  const absl::StatusOr<v1::Tensor> params_symmetric =
      InputOf(options.symmetric_tensor, kParamsSymmetric);
  if (!params_symmetric.ok()) {
    return Fail(ExitCode::kFile, params_symmetric.status());
  }
  return WithClient(globals, [&](Client& client) {
    return Show(client, *params, *params_symmetric);
  });
}

}  // namespace

void AddDemo(Commands& commands) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = commands.Add(
      "demo", "Print the notebook's sections, every number from the server",
      "  halfstep demo\n"
      "  halfstep generate --seed 7 -o params.npy && "
      "halfstep demo --tensor params.npy",
      [options](const GlobalOptions& globals) {
        return Run(*options, globals);
      });
  command
      ->add_option("--tensor", options->tensor,
                   "Take this .npy file instead of the notebook's tensor")
      ->option_text("FILE");
  command
      ->add_option("--symmetric-tensor", options->symmetric_tensor,
                   "And this one instead of its symmetric tensor")
      ->option_text("FILE");
}

}  // namespace halfstep::cli

#include "client/cli/tensor_input.h"

#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "client/cli/enum_names.h"
#include "client/tensor_file.h"

namespace halfstep::cli {

void AddTensorInput(CLI::App& command, TensorInput& input) {
  CLI::Option* file =
      command
          .add_option("FILE", input.file,
                      "A .npy file of float16, float32 or float64")
          ->option_text("FILE");
  CLI::Option* values =
      command
          .add_option("--values", input.values,
                      "Instead of FILE, the reals themselves: 1,-2.5,3e4")
          ->delimiter(',')
          ->allow_extra_args(false)
          ->excludes(file)
          ->option_text("REAL,...");
  command
      .add_option("--dtype", input.dtype,
                  "Type to which --values are rounded [float64]")
      ->check(CLI::IsMember(ShortNames<v1::DataType>()))
      ->needs(values)
      ->option_text(Choice<v1::DataType>());
  command
      .add_option("--shape", input.shape, "Shape of --values: 2,3 [one row]")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->needs(values)
      ->option_text("SIZE,...");
  command.parse_complete_callback([file, values] {
    if (file->empty() && values->empty()) {
      throw CLI::RequiredError("FILE or --values");
    }
  });
}

absl::StatusOr<v1::Tensor> Load(const TensorInput& input) {
  if (!input.file.empty()) return ReadTensor(input.file);
  v1::Tensor tensor;
  tensor.set_dtype(ValueOf<v1::DataType>(input.dtype));
  tensor.mutable_values()->Add(input.values.begin(), input.values.end());
  if (input.shape.empty()) {
    tensor.add_shape(static_cast<int64_t>(input.values.size()));
  } else {
    tensor.mutable_shape()->Add(input.shape.begin(), input.shape.end());
  }
  return tensor;
}

absl::Status CheckOutput(const std::string& input, const std::string& output) {
  std::error_code error;
  if (!std::filesystem::equivalent(input, output, error)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(output, ": is the input; must be another file"));
}

}  // namespace halfstep::cli

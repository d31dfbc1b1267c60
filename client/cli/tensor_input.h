// The tensor that a command is given: a file, or numbers on the command line.
#ifndef HALFSTEP_CLIENT_CLI_TENSOR_INPUT_H_
#define HALFSTEP_CLIENT_CLI_TENSOR_INPUT_H_

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "halfstep/v1/quantization.pb.h"

namespace halfstep::cli {

struct TensorInput {
  std::string file;
  std::vector<double> values;
  std::string dtype = "float64";  // of the values
  std::vector<int64_t> shape;     // of the values; empty: one dimension
};

// Adds FILE, --values, --dtype and --shape to `command`. Exactly one of FILE
// and
// --values must be given. `input` must live as long as `command`.
void AddTensorInput(CLI::App& command, TensorInput& input);

// Reads the tensor. Errors as for ReadTensor; values never fail.
absl::StatusOr<v1::Tensor> Load(const TensorInput& input);

// INVALID_ARGUMENT if writing `output` would replace the file `input`.
absl::Status CheckOutput(const std::string& input, const std::string& output);

}  // namespace halfstep::cli

#endif  // HALFSTEP_CLIENT_CLI_TENSOR_INPUT_H_

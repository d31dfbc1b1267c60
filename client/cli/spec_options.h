// The options that say how to quantize, the same for every command that does.
#ifndef HALFSTEP_CLIENT_CLI_SPEC_OPTIONS_H_
#define HALFSTEP_CLIENT_CLI_SPEC_OPTIONS_H_

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "client/tensor_file.h"
#include "halfstep/v1/quantization.pb.h"

namespace halfstep::cli {

struct SpecOptions {
  std::string scheme;
  uint32_t bits = 0;
  std::string code_type;
  std::string profile;
  std::optional<int32_t> axis;
  std::optional<int64_t> group_size;
  std::string packing;
  std::string non_finite;
  std::optional<double> clamp_min;
  std::optional<double> clamp_max;
  bool narrow_range = false;
  std::string parameters_file;  // static quantization; excludes the others
};

// Adds the options to `command`; `options` must live as long as it does.
void AddSpecOptions(CLI::App& command, SpecOptions& options);

// The spec that the options make. What was not given stays unspecified.
v1::QuantizationSpec SpecOf(const SpecOptions& options);

// Sets `how` of a QuantizeRequest or FakeQuantizeRequest: the spec, or the
// parameters of the file. Errors as for ReadParameters.
template <typename Request>
absl::Status SetHow(const SpecOptions& options, Request& request) {
  if (options.parameters_file.empty()) {
    *request.mutable_spec() = SpecOf(options);
    return absl::OkStatus();
  }
  auto parameters = ReadParameters(options.parameters_file);
  if (!parameters.ok()) return parameters.status();
  *request.mutable_parameters() = *std::move(parameters);
  return absl::OkStatus();
}

}  // namespace halfstep::cli

#endif  // HALFSTEP_CLIENT_CLI_SPEC_OPTIONS_H_

// How results are shown to people: a table of names and values.
#ifndef HALFSTEP_CLIENT_CLI_REPORT_H_
#define HALFSTEP_CLIENT_CLI_REPORT_H_

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "halfstep/v1/quantization.pb.h"

namespace halfstep::cli {

class Report {
 public:
  void Add(absl::string_view name, std::string value);

  // One row each for what the messages say.
  void AddTensor(v1::DataType dtype,
                 const google::protobuf::RepeatedField<int64_t>& shape);
  void AddParameters(const v1::QuantizationParameters& parameters);
  void AddCuts(const v1::Cuts& cuts);
  void AddError(const v1::ErrorReport& error);

  // Prints the rows, names padded to one width, on standard output.
  void Print() const;

 private:
  std::vector<std::pair<std::string, std::string>> rows_;
};

// Prints a tensor of reals on standard output: what it is, and its reals unless
// they were written to `path`.
void PrintReals(const v1::Tensor& tensor, const std::string& path, bool json);

// A tensor with its reals as numbers, or without them.
nlohmann::ordered_json RealsToJson(const v1::Tensor& tensor, bool with_reals);

// Prints on standard output, indented.
void PrintJson(const nlohmann::ordered_json& json);

}  // namespace halfstep::cli

#endif  // HALFSTEP_CLIENT_CLI_REPORT_H_

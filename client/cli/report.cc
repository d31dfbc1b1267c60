#include "client/cli/report.h"

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/enum_names.h"
#include "client/elements.h"
#include "client/message_json.h"
#include "client/npy_header.h"
#include "client/numpy_print.h"

namespace halfstep::cli {
namespace {

std::string Granularity(const v1::Granularity& granularity) {
  switch (granularity.kind_case()) {
    case v1::Granularity::kAxis:
      return absl::StrCat(" along axis ", granularity.axis());
    case v1::Granularity::kGroup:
      return absl::StrCat(" along axis ", granularity.group().axis(),
                          ", one per ", granularity.group().size(),
                          " elements");
    case v1::Granularity::KIND_NOT_SET:
      break;
  }
  return "";
}

std::string Codes(const v1::QuantizationSpec& spec) {
  return absl::StrCat(spec.bits(), " bits, ", ShortName(spec.code_type()), ", ",
                      ShortName(spec.scheme()), ", profile ",
                      ShortName(spec.profile()), ", packing ",
                      ShortName(spec.packing()));
}

// "0.1", or "1024 of them, 0.001 to 0.2".
template <typename Numbers, typename Format>
std::string Range(const Numbers& numbers, const Format& format) {
  if (numbers.size() == 1) return format(numbers.Get(0));
  const auto [least, most] =
      std::minmax_element(numbers.begin(), numbers.end());
  return absl::StrCat(numbers.size(), " of them, ", format(*least), " to ",
                      format(*most));
}

std::string Short(double real) { return absl::StrFormat("%.6g", real); }

}  // namespace

void Report::Add(absl::string_view name, std::string value) {
  rows_.emplace_back(name, std::move(value));
}

void Report::AddTensor(v1::DataType dtype,
                       const google::protobuf::RepeatedField<int64_t>& shape) {
  const std::vector<int64_t> dimensions(shape.begin(), shape.end());
  Add("tensor", absl::StrCat(ShortName(dtype), " ", FormatShape(dimensions)));
}

void Report::AddParameters(const v1::QuantizationParameters& parameters) {
  Add("codes", Codes(parameters.spec()));
  if (parameters.scale().empty()) return;
  Add("scale", absl::StrCat(Range(parameters.scale(), FormatScalar),
                            Granularity(parameters.spec().granularity())));
  if (parameters.zero_point().empty()) return;
  Add("zero point", Range(parameters.zero_point(),
                          [](int32_t zero) { return absl::StrCat(zero); }));
}

void Report::AddCuts(const v1::Cuts& cuts) {
  Add("cuts",
      absl::StrCat(cuts.saturated_count(), " saturated, ", cuts.clamped_count(),
                   " clamped, ", cuts.non_finite_count(), " not finite"));
}

void Report::AddError(const v1::ErrorReport& error) {
  Add("mean squared error", Short(error.mean_squared_error()));
  Add("mean absolute error", Short(error.mean_absolute_error()));
  Add("max absolute error",
      absl::StrCat(Short(error.max_absolute_error()), " at element ",
                   error.max_absolute_error_index()));
  Add("SQNR", absl::StrFormat("%.2f dB", error.sqnr_db()));
  Add("cosine similarity", Short(error.cosine_similarity()));
  if (error.encoded_bytes() > 0) {
    Add("encoded", absl::StrCat(error.encoded_bytes(), " bytes"));
  }
}

void Report::Print() const {
  size_t width = 0;
  for (const auto& [name, value] : rows_) width = std::max(width, name.size());
  for (const auto& [name, value] : rows_) {
    std::cout << absl::StrFormat("%-*s  %s\n", static_cast<int>(width), name,
                                 value);
  }
}

void PrintReals(const v1::Tensor& tensor, const std::string& path, bool json) {
  if (!json) {
    Report report;
    report.AddTensor(tensor.dtype(), tensor.shape());
    if (!path.empty()) report.Add("written", path);
    report.Print();
    if (path.empty()) std::cout << FormatArray(RealsOf(tensor)) << '\n';
    return;
  }
  PrintJson({{"tensor", RealsToJson(tensor, path.empty())}});
}

nlohmann::ordered_json RealsToJson(const v1::Tensor& tensor, bool with_reals) {
  v1::Tensor shown = tensor;
  shown.clear_data();
  shown.clear_values();
  nlohmann::ordered_json described = ToJson(shown);
  described.erase("values");
  if (with_reals) {
    nlohmann::ordered_json& values = described["values"];
    values = nlohmann::ordered_json::array();
    for (const double real : RealsOf(tensor)) values.push_back(ToJson(real));
  }
  return described;
}

void PrintJson(const nlohmann::ordered_json& json) {
  // A file's name in a reply need not be UTF-8.
  std::cout << json.dump(2, ' ', false,
                         nlohmann::ordered_json::error_handler_t::replace)
            << '\n';
}

}  // namespace halfstep::cli

#include "core/data_type.h"

#include <limits>

namespace halfstep {

absl::string_view Name(DataType dtype) {
  switch (dtype) {
    case DataType::kFloat32:
      return "FLOAT32";
    case DataType::kFloat64:
      return "FLOAT64";
    case DataType::kFloat16:
      return "FLOAT16";
    case DataType::kBFloat16:
      return "BFLOAT16";
  }
  return "";
}

double LargestFinite(DataType dtype) {
  switch (dtype) {
    case DataType::kFloat32:
      return std::numeric_limits<float>::max();
    case DataType::kFloat64:
      return std::numeric_limits<double>::max();
    case DataType::kFloat16:
      return 65504;
    case DataType::kBFloat16:
      return 0x1.FEp127;
  }
  return 0;
}

}  // namespace halfstep

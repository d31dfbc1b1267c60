// The types that one real element can have.
#ifndef HALFSTEP_CORE_DATA_TYPE_H_
#define HALFSTEP_CORE_DATA_TYPE_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace halfstep {

enum class DataType : uint8_t { kFloat32, kFloat64, kFloat16, kBFloat16 };

// Bytes of one element: 2, 4 or 8.
constexpr size_t ByteSize(DataType dtype) {
  switch (dtype) {
    case DataType::kFloat64:
      return 8;
    case DataType::kFloat32:
      return 4;
    case DataType::kFloat16:
    case DataType::kBFloat16:
      return 2;
  }
  return 0;
}

// "FLOAT32" and so on, as the API spells it.
absl::string_view Name(DataType dtype);

// The largest finite number of `dtype`.
double LargestFinite(DataType dtype);

}  // namespace halfstep

#endif  // HALFSTEP_CORE_DATA_TYPE_H_

// The reader of .npy files, on whatever the fuzzer comes up with: a refusal
// that says why, or an array that fits its shape and comes back the same from
// what would be written of it.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "client/npy.h"

namespace {

void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "npy: %s\n", what);
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view contents(reinterpret_cast<const char*>(data), size);
  const auto array = halfstep::ParseNpy(contents);
  if (!array.ok()) {
    Require(array.status().code() == absl::StatusCode::kInvalidArgument,
            "refused with another code than INVALID_ARGUMENT");
    Require(!array.status().message().empty(), "refused without a reason");
    return 0;
  }
  uint64_t bytes = halfstep::ByteSize(array->type);
  for (const int64_t dimension : array->shape) {
    Require(dimension >= 0, "a negative dimension");
    bytes *= static_cast<uint64_t>(dimension);
  }
  Require(bytes == array->bytes.size(), "elements that do not fit the shape");
  const auto again = halfstep::ParseNpy(absl::StrCat(
      halfstep::NpyPreamble(array->type, array->shape), array->bytes));
  Require(again.ok(), "what it would write is refused");
  Require(again->type == array->type && again->shape == array->shape &&
              again->bytes == array->bytes,
          "what it would write is another array");
  return 0;
}

// Split against the generated parser, on whatever the fuzzer comes up with: the
// same message or the same refusal, for every type of message and every cut.
//
// The first byte chooses the type, the second and third where the message is
// cut; the rest is the message.
#include <google/protobuf/message.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/server/split_oracle.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kHeaderBytes = 3;
  if (size < kHeaderBytes) return 0;
  const auto& types = halfstep::EveryMessage();
  const auto& type = *types[data[0] % types.size()];
  const std::string bytes(reinterpret_cast<const char*>(data) + kHeaderBytes,
                          size - kHeaderBytes);
  size_t first = std::min<size_t>(data[1], bytes.size());
  size_t second = std::min<size_t>(data[2], bytes.size());
  if (first > second) std::swap(first, second);
  const std::string difference =
      halfstep::SplitDifference(type, bytes, {first, second});
  if (!difference.empty()) {
    std::fprintf(stderr, "%s: %s\n", type.GetTypeName().c_str(),
                 difference.c_str());
    std::abort();
  }
  return 0;
}

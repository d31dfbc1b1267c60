#include "server/call/request_id.h"

#include <algorithm>
#include <cstdint>

#include "absl/random/random.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace halfstep {
namespace {

bool IsOfIdentifier(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
         absl::string_view("-_.:/+=@").find(c) != absl::string_view::npos;
}

bool IsLowerHex(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
  });
}

bool IsZero(absl::string_view text) {
  return text.find_first_not_of('0') == absl::string_view::npos;
}

}  // namespace

std::string RequestId(absl::string_view given) {
  if (!given.empty() && given.size() <= kRequestIdSizeMax &&
      std::all_of(given.begin(), given.end(), IsOfIdentifier)) {
    return std::string(given);
  }
  // 60 bits: as many digits as a string holds without an allocation, here and
  // wherever the id is copied on its way.
  thread_local absl::BitGen random;
  return absl::StrCat(
      absl::Hex(absl::Uniform<uint64_t>(random) >> 4, absl::kZeroPad15));
}

absl::string_view TraceId(absl::string_view traceparent) {
  // version "-" trace-id "-" parent-id "-" flags, 2 + 32 + 16 + 2 digits;
  // versions after 00 may have more behind.
  constexpr size_t kSize = 55;
  if (traceparent.size() < kSize || traceparent[2] != '-' ||
      traceparent[35] != '-' || traceparent[52] != '-') {
    return {};
  }
  const absl::string_view version = traceparent.substr(0, 2);
  const absl::string_view trace_id = traceparent.substr(3, 32);
  const absl::string_view parent_id = traceparent.substr(36, 16);
  const bool ends_well = traceparent.size() == kSize ||
                         (version != "00" && traceparent[kSize] == '-');
  if (!ends_well || version == "ff" || !IsLowerHex(version) ||
      !IsLowerHex(trace_id) || !IsLowerHex(parent_id) || IsZero(trace_id) ||
      IsZero(parent_id) || !IsLowerHex(traceparent.substr(53, 2))) {
    return {};
  }
  return trace_id;
}

}  // namespace halfstep

// The API's enums as a user types and reads them: SCHEME_SYMMETRIC is
// "symmetric". Taken from the API itself, so that a value which it gains is one
// that the command line takes.
#ifndef HALFSTEP_CLIENT_CLI_ENUM_NAMES_H_
#define HALFSTEP_CLIENT_CLI_ENUM_NAMES_H_

#include <google/protobuf/generated_enum_reflection.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace halfstep::cli {

// For an enum whose value 0 is PREFIX_UNSPECIFIED.
std::vector<std::string> ShortNames(
    const google::protobuf::EnumDescriptor& type);
std::string ShortName(const google::protobuf::EnumDescriptor& type, int number);
// 0 if there is no such value.
int NumberOf(const google::protobuf::EnumDescriptor& type,
             const std::string& short_name);

// All but the unspecified value.
template <typename Enum>
std::vector<std::string> ShortNames() {
  return ShortNames(*google::protobuf::GetEnumDescriptor<Enum>());
}

// The same for a help text: "{asymmetric,symmetric}".
template <typename Enum>
std::string Choice() {
  return absl::StrCat("{", absl::StrJoin(ShortNames<Enum>(), ","), "}");
}

template <typename Enum>
std::string ShortName(Enum value) {
  return ShortName(*google::protobuf::GetEnumDescriptor<Enum>(), value);
}

// The unspecified value if `short_name` is empty.
template <typename Enum>
Enum ValueOf(const std::string& short_name) {
  return static_cast<Enum>(
      NumberOf(*google::protobuf::GetEnumDescriptor<Enum>(), short_name));
}

}  // namespace halfstep::cli

#endif  // HALFSTEP_CLIENT_CLI_ENUM_NAMES_H_

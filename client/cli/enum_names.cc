#include "client/cli/enum_names.h"

#include <google/protobuf/descriptor.h>

#include "absl/strings/ascii.h"
#include "absl/strings/strip.h"

namespace halfstep::cli {
namespace {

using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;

std::string Short(const EnumDescriptor& type,
                  const EnumValueDescriptor& value) {
  const absl::string_view prefix =
      absl::StripSuffix(type.FindValueByNumber(0)->name(), "UNSPECIFIED");
  return absl::AsciiStrToLower(absl::StripPrefix(value.name(), prefix));
}

}  // namespace

std::vector<std::string> ShortNames(const EnumDescriptor& type) {
  std::vector<std::string> names;
  for (int i = 0; i < type.value_count(); ++i) {
    if (type.value(i)->number() == 0) continue;
    names.push_back(Short(type, *type.value(i)));
  }
  return names;
}

std::string ShortName(const EnumDescriptor& type, int number) {
  const EnumValueDescriptor* value = type.FindValueByNumber(number);
  return value != nullptr ? Short(type, *value) : std::to_string(number);
}

int NumberOf(const EnumDescriptor& type, const std::string& short_name) {
  for (int i = 0; i < type.value_count(); ++i) {
    if (Short(type, *type.value(i)) == short_name) {
      return type.value(i)->number();
    }
  }
  return 0;
}

}  // namespace halfstep::cli

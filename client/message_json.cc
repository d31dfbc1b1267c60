#include "client/message_json.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/util/json_util.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"

namespace halfstep {
namespace {

using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using nlohmann::ordered_json;

std::string EnumName(const FieldDescriptor& field, int number) {
  const EnumValueDescriptor* value =
      field.enum_type()->FindValueByNumber(number);
  return value != nullptr ? value->name() : std::to_string(number);
}

ordered_json Singular(const Message& message, const FieldDescriptor* field) {
  const Reflection& reflection = *message.GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return reflection.GetInt32(message, field);
    case FieldDescriptor::CPPTYPE_INT64:
      return reflection.GetInt64(message, field);
    case FieldDescriptor::CPPTYPE_UINT32:
      return reflection.GetUInt32(message, field);
    case FieldDescriptor::CPPTYPE_UINT64:
      return reflection.GetUInt64(message, field);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return ToJson(reflection.GetDouble(message, field));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return ToJson(reflection.GetFloat(message, field));
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection.GetBool(message, field);
    case FieldDescriptor::CPPTYPE_ENUM:
      return EnumName(*field, reflection.GetEnumValue(message, field));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return ToJson(reflection.GetMessage(message, field));
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string text = reflection.GetString(message, field);
      if (field->type() == FieldDescriptor::TYPE_BYTES) {
        return absl::Base64Escape(text);
      }
      return text;
    }
  }
  return nullptr;
}

ordered_json Element(const Message& message, const FieldDescriptor* field,
                     int index) {
  const Reflection& reflection = *message.GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return reflection.GetRepeatedInt32(message, field, index);
    case FieldDescriptor::CPPTYPE_INT64:
      return reflection.GetRepeatedInt64(message, field, index);
    case FieldDescriptor::CPPTYPE_UINT32:
      return reflection.GetRepeatedUInt32(message, field, index);
    case FieldDescriptor::CPPTYPE_UINT64:
      return reflection.GetRepeatedUInt64(message, field, index);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return ToJson(reflection.GetRepeatedDouble(message, field, index));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return ToJson(reflection.GetRepeatedFloat(message, field, index));
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection.GetRepeatedBool(message, field, index);
    case FieldDescriptor::CPPTYPE_ENUM:
      return EnumName(*field,
                      reflection.GetRepeatedEnumValue(message, field, index));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return ToJson(reflection.GetRepeatedMessage(message, field, index));
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string text = reflection.GetRepeatedString(message, field, index);
      if (field->type() == FieldDescriptor::TYPE_BYTES) {
        return absl::Base64Escape(text);
      }
      return text;
    }
  }
  return nullptr;
}

bool IsShown(const Message& message, const FieldDescriptor* field) {
  const bool set =
      field->is_repeated() || message.GetReflection()->HasField(message, field);
  if (field->has_presence() || field->type() == FieldDescriptor::TYPE_BYTES) {
    return set;
  }
  return true;
}

}  // namespace

ordered_json ToJson(const Message& message) {
  ordered_json json = ordered_json::object();
  const google::protobuf::Descriptor& type = *message.GetDescriptor();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor* field = type.field(i);
    if (!IsShown(message, field)) continue;
    ordered_json& value = json[field->name()];
    if (!field->is_repeated()) {
      value = Singular(message, field);
      continue;
    }
    value = ordered_json::array();
    const int count = message.GetReflection()->FieldSize(message, field);
    for (int index = 0; index < count; ++index) {
      value.push_back(Element(message, field, index));
    }
  }
  return json;
}

ordered_json ToJson(double real) {
  if (std::isnan(real)) return "NaN";
  if (std::isinf(real)) return real < 0 ? "-Infinity" : "Infinity";
  return real;
}

absl::Status FromJson(const std::string& text, Message& message) {
  const auto status =
      google::protobuf::util::JsonStringToMessage(text, &message);
  if (status.ok()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::string_view(status.message().data(), status.message().size()));
}

}  // namespace halfstep

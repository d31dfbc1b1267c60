// Which fields of a message are payloads.
#ifndef HALFSTEP_SERVER_WIRE_PAYLOAD_FIELD_H_
#define HALFSTEP_SERVER_WIRE_PAYLOAD_FIELD_H_

#include <google/protobuf/descriptor.h>

#include "server/wire/wire.h"

namespace halfstep {

inline bool IsPayload(const google::protobuf::FieldDescriptor& field) {
  return field.number() == kPayloadField &&
         field.type() == google::protobuf::FieldDescriptor::TYPE_BYTES &&
         !field.is_repeated();
}

// Whether `field`, of the outermost message, is a submessage with a payload.
inline bool HasPayload(const google::protobuf::FieldDescriptor& field) {
  if (field.type() != google::protobuf::FieldDescriptor::TYPE_MESSAGE ||
      field.is_repeated()) {
    return false;
  }
  const google::protobuf::FieldDescriptor* inner =
      field.message_type()->FindFieldByNumber(kPayloadField);
  return inner != nullptr && IsPayload(*inner);
}

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_WIRE_PAYLOAD_FIELD_H_

// How much memory the fields of a message take, known before they are parsed.
//
// A byte on the wire can become 8 in a message, and 2 bytes an object of 100: a
// message of 256 MiB, of which no limit on pairs or values has seen anything
// yet, would be parsed into gigabytes.
#ifndef HALFSTEP_SERVER_WIRE_FIELD_BYTES_H_
#define HALFSTEP_SERVER_WIRE_FIELD_BYTES_H_

#include <google/protobuf/descriptor.h>
#include <grpcpp/support/byte_buffer.h>

#include <cstdint>

namespace halfstep {

// Of all fields but payloads.
struct FieldBytes {
  uint64_t serialized = 0;
  // In the generated message, at most, while its arrays still grow.
  uint64_t parsed = 0;
};

// Reads through `message`, a serialized `type`, and keeps nothing. Of one that
// cannot be parsed it counts what the parser would take until it notices.
FieldBytes MeasureFields(const grpc::ByteBuffer& message,
                         const google::protobuf::Descriptor& type);

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_WIRE_FIELD_BYTES_H_

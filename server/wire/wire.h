// Messages whose payload stays where it is.
//
// A payload is the bytes field 1000 of a message or of one of its submessages:
// a tensor's data or codes. Split reads everything else into the generated
// message and leaves the payload in the slices that gRPC received; Join puts
// the other fields of a reply in front of a slice that already holds its
// payload. Neither copies a byte of payload.
#ifndef HALFSTEP_SERVER_WIRE_WIRE_H_
#define HALFSTEP_SERVER_WIRE_WIRE_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "core/tensor.h"
#include "server/wire/buffer_pool.h"

namespace google::protobuf {
class Message;
}  // namespace google::protobuf

namespace halfstep {

class Splitter;

// The number of every payload field.
inline constexpr int kPayloadField = 1000;

// Bytes of fields that nobody asks memory for: parsed, they take a few MiB at
// most, on as many threads as parse.
inline constexpr size_t kFreeFieldBytes = size_t{64} << 10;

// The payloads of one received message, in the memory that they came in.
class Payloads {
 public:
  Payloads() = default;
  Payloads(const Payloads&) = delete;
  Payloads& operator=(const Payloads&) = delete;

  // The payload of the submessage in field `field`, or the message's own for
  // kPayloadField. Empty if there is none. Valid as long as this object.
  const Pieces& Under(int field) const;

 private:
  friend class Splitter;
  friend absl::Status Split(const grpc::ByteBuffer&, google::protobuf::Message&,
                            Payloads&,
                            absl::FunctionRef<absl::Status(uint64_t)>);

  // Refers to the slices of `message` from now on, and to no payload yet.
  bool Hold(const grpc::ByteBuffer& message);

  // What the pieces point into.
  std::vector<grpc::Slice> slices_;
  absl::InlinedVector<std::pair<int, Pieces>, 2> pieces_;
};

// Reads `message` into `fields`, all but its payloads, which `payloads` refers
// to. In `fields` a payload is empty, and set if it is in a oneof.
//
// Where those fields are more than kFreeFieldBytes, `hold` is asked before more
// of them is copied, or any of it parsed: for the bytes that this takes at
// most, a part of which is free again afterwards. What it refuses is the
// result.
//
// Accepts exactly what the generated parser of `fields` accepts, and reads the
// same from it: fields in any order, unknown ones of every kind, the last of
// repeated payloads, submessages given twice merged.
//
// INVALID_ARGUMENT if `message` cannot be parsed; both outputs are then
// unspecified.
absl::Status Split(const grpc::ByteBuffer& message,
                   google::protobuf::Message& fields, Payloads& payloads,
                   absl::FunctionRef<absl::Status(uint64_t bytes)> hold);

// `fields` serialized.
grpc::ByteBuffer Serialize(const google::protobuf::Message& fields);

// `fields` serialized, with the submessage `nested` in field `field` added to
// it, and `payload` in field kPayloadField of that. Requires that `field` of
// `fields` and the payload of `nested` are not set.
grpc::ByteBuffer Join(const google::protobuf::Message& fields, int field,
                      const google::protobuf::Message& nested,
                      grpc::Slice payload);

// A message of nothing but its payload. `payload` is not empty.
grpc::ByteBuffer JoinPayload(grpc::Slice payload);

// All of `buffer` as a slice, which gives it back to its pool when gRPC has
// sent it.
grpc::Slice ToSlice(Buffer buffer);

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_WIRE_WIRE_H_

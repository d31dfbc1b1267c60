#include "server/wire/field_bytes.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include <algorithm>

#include "server/wire/payload_field.h"

namespace halfstep {
namespace {

using ::google::protobuf::Descriptor;
using ::google::protobuf::FieldDescriptor;
using ::google::protobuf::internal::WireFormatLite;
using ::google::protobuf::io::CodedInputStream;

// A message: its object, its place among others, and as many numbers as an
// array begins with. A string or a field that the parser does not know, beside
// its bytes. Tests hold them to what protobuf reports of each message of the
// API.
constexpr uint64_t kMessageBytes = 224;
constexpr uint64_t kOtherFieldBytes = 160;
// An array doubles when it is full, and for a moment is there twice.
constexpr uint64_t kArrayGrowth = 3;

// Bytes of an element in memory; 0 for what is no number.
uint64_t ElementBytes(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return 1;
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_FLOAT:
    case FieldDescriptor::CPPTYPE_ENUM:
      return 4;
    case FieldDescriptor::CPPTYPE_INT64:
    case FieldDescriptor::CPPTYPE_UINT64:
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return 8;
    case FieldDescriptor::CPPTYPE_STRING:
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return 0;
  }
  return 0;
}

// How `field` stands on the wire where it is not packed.
WireFormatLite::WireType WireTypeOf(const FieldDescriptor& field) {
  return WireFormatLite::WireTypeForFieldType(
      static_cast<WireFormatLite::FieldType>(field.type()));
}

// One message being measured.
class Meter {
 public:
  explicit Meter(CodedInputStream& in) : in_(in) {}

  void Run(const Descriptor& type) { Fields(&type, 0, true); }

  uint64_t payload_bytes() const { return payload_bytes_; }
  uint64_t parsed() const { return parsed_; }

 private:
  // Up to the end of the message, or of a group: then `type` is null, and all
  // fields are unknown. False where the parser would stop.
  bool Fields(const Descriptor* type, int depth, bool has_payload) {
    if (depth > CodedInputStream::GetDefaultRecursionLimit()) return false;
    while (const uint32_t tag = in_.ReadTag()) {
      const auto wire_type = WireFormatLite::GetTagWireType(tag);
      if (wire_type == WireFormatLite::WIRETYPE_END_GROUP) {
        return type == nullptr;
      }
      const FieldDescriptor* field =
          type == nullptr
              ? nullptr
              : type->FindFieldByNumber(WireFormatLite::GetTagFieldNumber(tag));
      const bool counted =
          wire_type == WireFormatLite::WIRETYPE_LENGTH_DELIMITED
              ? LengthDelimited(field, depth, has_payload)
              : Other(tag, field, depth);
      if (!counted) return false;
    }
    return in_.ConsumedEntireMessage();
  }

  bool LengthDelimited(const FieldDescriptor* field, int depth,
                       bool has_payload) {
    int length = 0;
    if (!in_.ReadVarintSizeAsInt(&length)) return false;
    if (field != nullptr && has_payload && IsPayload(*field)) {
      payload_bytes_ += static_cast<uint64_t>(length);
      return in_.Skip(length);
    }
    if (field != nullptr && field->type() == FieldDescriptor::TYPE_MESSAGE) {
      parsed_ += kMessageBytes;
      const auto limit = in_.PushLimit(length);
      const bool counted = Fields(field->message_type(), depth + 1,
                                  depth == 0 && HasPayload(*field));
      in_.PopLimit(limit);
      return counted;
    }
    if (field != nullptr && field->is_packable()) {
      return Packed(*field, static_cast<uint64_t>(length));
    }
    parsed_ += kOtherFieldBytes + static_cast<uint64_t>(length);
    return in_.Skip(length);
  }

  bool Packed(const FieldDescriptor& field, uint64_t length) {
    const uint64_t element = ElementBytes(field);
    uint64_t count = 0;
    if (WireTypeOf(field) == WireFormatLite::WIRETYPE_VARINT) {
      if (!CountVarints(length, count)) return false;
    } else {
      count = length / element;
      if (!in_.Skip(static_cast<int>(length))) return false;
    }
    parsed_ += kArrayGrowth * element * count;
    return true;
  }

  // A varint ends with its only byte below 0x80.
  bool CountVarints(uint64_t length, uint64_t& count) {
    while (length > 0) {
      const void* data = nullptr;
      int size = 0;
      if (!in_.GetDirectBufferPointer(&data, &size)) return false;
      size = static_cast<int>(std::min(length, static_cast<uint64_t>(size)));
      const auto* bytes = static_cast<const uint8_t*>(data);
      count += static_cast<uint64_t>(std::count_if(
          bytes, bytes + size, [](uint8_t byte) { return byte < 0x80; }));
      length -= static_cast<uint64_t>(size);
      if (!in_.Skip(size)) return false;
    }
    return true;
  }

  bool Other(uint32_t tag, const FieldDescriptor* field, int depth) {
    const auto wire_type = WireFormatLite::GetTagWireType(tag);
    const bool is_known = field != nullptr && WireTypeOf(*field) == wire_type;
    if (!is_known) {
      parsed_ += kOtherFieldBytes;
    } else if (field->is_repeated()) {
      parsed_ += kArrayGrowth * ElementBytes(*field);
    }
    uint64_t ignored = 0;
    switch (wire_type) {
      case WireFormatLite::WIRETYPE_VARINT:
        return in_.ReadVarint64(&ignored);
      case WireFormatLite::WIRETYPE_FIXED64:
        return in_.Skip(8);
      case WireFormatLite::WIRETYPE_FIXED32:
        return in_.Skip(4);
      case WireFormatLite::WIRETYPE_START_GROUP:
        return Fields(nullptr, depth + 1, false);
      default:
        return false;
    }
  }

  CodedInputStream& in_;
  uint64_t payload_bytes_ = 0;
  uint64_t parsed_ = kMessageBytes;
};

}  // namespace

FieldBytes MeasureFields(const grpc::ByteBuffer& message,
                         const Descriptor& type) {
  // A copy refers to the same bytes; the reader wants one that it may change.
  grpc::ByteBuffer bytes = message;
  grpc::ProtoBufferReader reader(&bytes);
  CodedInputStream in(&reader);
  Meter meter(in);
  meter.Run(type);
  return {.serialized = message.Length() - meter.payload_bytes(),
          .parsed = meter.parsed()};
}

}  // namespace halfstep

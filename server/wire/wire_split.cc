#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/message.h>
#include <google/protobuf/wire_format_lite.h>

#include <algorithm>
#include <cstdint>
#include <limits>

#include "server/wire/field_bytes.h"
#include "server/wire/payload_field.h"
#include "server/wire/slice_cursor.h"
#include "server/wire/wire.h"

namespace halfstep {
namespace {

using ::google::protobuf::Descriptor;
using ::google::protobuf::FieldDescriptor;
using ::google::protobuf::internal::WireFormatLite;
using ::google::protobuf::io::CodedInputStream;
using ::google::protobuf::io::CodedOutputStream;

// The parser's own bounds: a tag has at most 5 bytes, a varint 10.
constexpr int kTagBytesMax = 5;
constexpr int kLengthBytesMax = 5;
constexpr int kVarintBytesMax = 10;

constexpr size_t kNoBound = std::numeric_limits<size_t>::max();

constexpr uint32_t TagOf(int field) {
  return WireFormatLite::MakeTag(field,
                                 WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
}

void AppendTag(uint32_t tag, ReadBytes& out) {
  uint8_t bytes[kTagBytesMax];
  const uint8_t* const end =
      CodedOutputStream::WriteVarint32ToArray(tag, bytes);
  out.insert(out.end(), static_cast<const uint8_t*>(bytes), end);
}

// Writes `length` over the kLengthBytesMax bytes at `at`: a varint may be
// longer than it needs to be.
void WriteLength(size_t length, char* at) {
  for (int i = 0; i < kLengthBytesMax; ++i) {
    const bool is_last = i + 1 == kLengthBytesMax;
    at[i] = static_cast<char>((length & 0x7F) | (is_last ? 0 : 0x80));
    length >>= 7;
  }
}

}  // namespace

// One message being split.
class Splitter {
 public:
  // `out_max`  bytes that Run may append; a little more where it stops.
  Splitter(Payloads& payloads, size_t out_max)
      : payloads_(payloads), cursor_(payloads.slices_), out_max_(out_max) {}

  // Appends all fields of the message to `out`, payloads as empty ones. False
  // if they cannot be parsed, or are too long.
  bool Run(const Descriptor& type, ReadBytes& out) {
    return Fields(type, 0, kPayloadField, true, out);
  }

  // Whether it stopped because they are.
  bool is_over() const { return is_over_; }

 private:
  // Reads the fields of a `type` up to where `end` bytes are left. `key` is
  // what its payload is filed under; submessages are looked into if it is the
  // top.
  bool Fields(const Descriptor& type, size_t end, int key, bool is_top,
              ReadBytes& out) {
    while (cursor_.left() > end) {
      if (!HasRoom(out, 0)) return false;
      const size_t mark = out.size();
      uint32_t tag = 0;
      if (!Tag(out, tag)) return false;
      if ((tag & 7) != WireFormatLite::WIRETYPE_LENGTH_DELIMITED) {
        if (!SkipValue(tag, out)) return false;
        continue;
      }
      size_t length = 0;
      if (!Length(end, out, length)) return false;
      const FieldDescriptor* field =
          type.FindFieldByNumber(static_cast<int>(tag >> 3));
      if (field != nullptr && is_top) ForgetOthersOfOneof(*field);
      if (field != nullptr && IsPayload(*field)) {
        out.resize(mark);
        AppendTag(TagOf(kPayloadField), out);
        out.push_back('\0');
        TakePayload(key, length);
      } else if (field != nullptr && is_top && HasPayload(*field)) {
        out.resize(mark);
        AppendTag(TagOf(field->number()), out);
        const size_t begin = out.size() + kLengthBytesMax;
        out.resize(begin);
        if (!Fields(*field->message_type(), cursor_.left() - length,
                    field->number(), false, out)) {
          return false;
        }
        WriteLength(out.size() - begin, &out[begin - kLengthBytesMax]);
      } else if (!HasRoom(out, length) || !cursor_.Copy(length, out)) {
        return false;
      }
    }
    return cursor_.left() == end;
  }

  // Passes over one value that is not length-delimited; a group with all that
  // is in it. The generated parser sees it all again, and applies its limit of
  // depth to the message as a whole.
  bool SkipValue(uint32_t tag, ReadBytes& out) {
    absl::InlinedVector<uint32_t, 8> groups;
    while (true) {
      uint64_t ignored = 0;
      size_t length = 0;
      bool read = false;
      switch (tag & 7) {
        case WireFormatLite::WIRETYPE_VARINT:
          read = cursor_.Varint(kVarintBytesMax, out, ignored);
          break;
        case WireFormatLite::WIRETYPE_FIXED64:
          read = cursor_.Copy(8, out);
          break;
        case WireFormatLite::WIRETYPE_FIXED32:
          read = cursor_.Copy(4, out);
          break;
        case WireFormatLite::WIRETYPE_LENGTH_DELIMITED:
          read = Length(0, out, length) && HasRoom(out, length) &&
                 cursor_.Copy(length, out);
          break;
        case WireFormatLite::WIRETYPE_START_GROUP:
          groups.push_back(tag >> 3);
          read =
              groups.size() <=
              static_cast<size_t>(CodedInputStream::GetDefaultRecursionLimit());
          break;
        case WireFormatLite::WIRETYPE_END_GROUP:
          read = !groups.empty() && groups.back() == tag >> 3;
          if (read) groups.pop_back();
          break;
        default:
          break;
      }
      if (!read) return false;
      if (groups.empty()) return true;
      if (!HasRoom(out, 0) || !Tag(out, tag)) return false;
    }
  }

  bool HasRoom(const ReadBytes& out, size_t bytes) {
    is_over_ = bytes > out_max_ || out.size() > out_max_ - bytes;
    return !is_over_;
  }

  bool Tag(ReadBytes& out, uint32_t& tag) {
    uint64_t value = 0;
    if (!cursor_.Varint(kTagBytesMax, out, value)) return false;
    tag = static_cast<uint32_t>(value);
    return tag >> 3 != 0;
  }

  // Reads a length that leaves at least `end` bytes behind it.
  bool Length(size_t end, ReadBytes& out, size_t& length) {
    uint64_t value = 0;
    if (!cursor_.Varint(kLengthBytesMax, out, value)) return false;
    length = value;
    return cursor_.left() >= end && length <= cursor_.left() - end;
  }

  void TakePayload(int key, size_t length) {
    Pieces pieces;
    cursor_.Pass(length, [&pieces](const uint8_t* data, size_t size) {
      pieces.Append({reinterpret_cast<const std::byte*>(data), size});
    });
    Forget(key);
    payloads_.pieces_.emplace_back(key, std::move(pieces));
  }

  void Forget(int key) {
    auto& pieces = payloads_.pieces_;
    pieces.erase(
        std::remove_if(pieces.begin(), pieces.end(),
                       [key](const auto& entry) { return entry.first == key; }),
        pieces.end());
  }

  // A field of a oneof clears the others, and with them their payloads. (All
  // fields of a oneof that holds a payload are length-delimited.)
  void ForgetOthersOfOneof(const FieldDescriptor& field) {
    const auto* oneof = field.real_containing_oneof();
    if (oneof == nullptr) return;
    for (int i = 0; i < oneof->field_count(); ++i) {
      if (oneof->field(i) != &field) Forget(oneof->field(i)->number());
    }
  }

  Payloads& payloads_;
  SliceCursor cursor_;
  const size_t out_max_;
  bool is_over_ = false;
};

bool Payloads::Hold(const grpc::ByteBuffer& message) {
  pieces_.clear();
  slices_.clear();
  return message.Dump(&slices_).ok();
}

const Pieces& Payloads::Under(int field) const {
  static const Pieces* const kNone = new Pieces;
  for (const auto& [key, pieces] : pieces_) {
    if (key == field) return pieces;
  }
  return *kNone;
}

absl::Status Split(const grpc::ByteBuffer& message,
                   google::protobuf::Message& fields, Payloads& payloads,
                   absl::FunctionRef<absl::Status(uint64_t bytes)> hold) {
  const Descriptor& type = *fields.GetDescriptor();
  ReadBytes rest;
  bool is_split = false;
  if (payloads.Hold(message)) {
    Splitter splitter(payloads, kFreeFieldBytes);
    is_split = splitter.Run(type, rest);
    if (splitter.is_over()) {
      // Seldom: from the beginning, once there is memory for it.
      rest.clear();
      rest.shrink_to_fit();
      const FieldBytes bytes = MeasureFields(message, type);
      absl::Status held = hold(bytes.serialized + bytes.parsed);
      if (!held.ok()) return held;
      rest.reserve(bytes.serialized);
      is_split = payloads.Hold(message) &&
                 Splitter(payloads, kNoBound).Run(type, rest);
    }
  }
  if (!is_split ||
      !fields.ParseFromArray(rest.data(), static_cast<int>(rest.size()))) {
    return absl::InvalidArgumentError(
        "request: cannot be parsed; must be a serialized " + type.full_name());
  }
  return absl::OkStatus();
}

}  // namespace halfstep

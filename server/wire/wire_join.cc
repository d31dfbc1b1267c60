#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/message.h>
#include <google/protobuf/wire_format_lite.h>

#include <cstdint>
#include <utility>

#include "server/wire/wire.h"

namespace halfstep {
namespace {

using ::google::protobuf::internal::WireFormatLite;
using ::google::protobuf::io::CodedOutputStream;

constexpr uint32_t TagOf(int field) {
  return WireFormatLite::MakeTag(field,
                                 WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
}

}  // namespace

grpc::ByteBuffer Serialize(const google::protobuf::Message& fields) {
  grpc::Slice slice(fields.ByteSizeLong());
  fields.SerializeWithCachedSizesToArray(const_cast<uint8_t*>(slice.begin()));
  return grpc::ByteBuffer(&slice, 1);
}

grpc::ByteBuffer Join(const google::protobuf::Message& fields, int field,
                      const google::protobuf::Message& nested,
                      grpc::Slice payload) {
  const size_t payload_header =
      payload.size() == 0
          ? 0
          : CodedOutputStream::VarintSize32(TagOf(kPayloadField)) +
                CodedOutputStream::VarintSize64(payload.size());
  const size_t nested_size =
      nested.ByteSizeLong() + payload_header + payload.size();
  const size_t header_size = fields.ByteSizeLong() +
                             CodedOutputStream::VarintSize32(TagOf(field)) +
                             CodedOutputStream::VarintSize64(nested_size) +
                             nested_size - payload.size();
  grpc::Slice header(header_size);
  auto* at = const_cast<uint8_t*>(header.begin());
  at = fields.SerializeWithCachedSizesToArray(at);
  at = CodedOutputStream::WriteTagToArray(TagOf(field), at);
  at = CodedOutputStream::WriteVarint64ToArray(nested_size, at);
  at = nested.SerializeWithCachedSizesToArray(at);
  if (payload.size() == 0) return grpc::ByteBuffer(&header, 1);
  at = CodedOutputStream::WriteTagToArray(TagOf(kPayloadField), at);
  CodedOutputStream::WriteVarint64ToArray(payload.size(), at);
  const grpc::Slice slices[] = {std::move(header), std::move(payload)};
  return grpc::ByteBuffer(slices, 2);
}

grpc::ByteBuffer JoinPayload(grpc::Slice payload) {
  grpc::Slice header(CodedOutputStream::VarintSize32(TagOf(kPayloadField)) +
                     CodedOutputStream::VarintSize64(payload.size()));
  auto* at = const_cast<uint8_t*>(header.begin());
  at = CodedOutputStream::WriteTagToArray(TagOf(kPayloadField), at);
  CodedOutputStream::WriteVarint64ToArray(payload.size(), at);
  const grpc::Slice slices[] = {std::move(header), std::move(payload)};
  return grpc::ByteBuffer(slices, 2);
}

grpc::Slice ToSlice(Buffer buffer) {
  const absl::Span<std::byte> bytes = buffer.bytes();
  if (bytes.empty()) return grpc::Slice();
  if (buffer.pool_ == nullptr) return std::move(buffer.slice_);
  auto* owner = new Buffer(std::move(buffer));
  return grpc::Slice(
      bytes.data(), bytes.size(),
      [](void* owned) { delete static_cast<Buffer*>(owned); }, owner);
}

}  // namespace halfstep

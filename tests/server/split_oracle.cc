#include "tests/server/split_oracle.h"

#include <google/protobuf/descriptor.h>

#include <memory>
#include <string>

#include "halfstep/v1/quantization.pb.h"
#include "server/wire/field_bytes.h"
#include "server/wire/wire.h"

namespace halfstep {
namespace {

using ::google::protobuf::FieldDescriptor;
using ::google::protobuf::Message;

std::string BytesOf(const Pieces& pieces) {
  std::string scratch(pieces.size(), '\0');
  const auto* bytes = reinterpret_cast<const char*>(pieces.Contiguous(
      0, pieces.size(), reinterpret_cast<std::byte*>(scratch.data())));
  return std::string(bytes, pieces.size());
}

// Takes the payload out of field 1000 of `message`, leaving the field as it is
// but empty.
std::string TakeOwnPayload(Message& message) {
  const FieldDescriptor* field =
      message.GetDescriptor()->FindFieldByNumber(kPayloadField);
  if (field == nullptr) return "";
  const auto* reflection = message.GetReflection();
  std::string payload = reflection->GetString(message, field);
  const bool is_set = field->has_presence()
                          ? reflection->HasField(message, field)
                          : !payload.empty();
  if (is_set) reflection->SetString(&message, field, "");
  return payload;
}

// Compares all payloads of `expected` with `payloads` and takes them out.
std::string ComparePayloads(Message& expected, const Payloads& payloads) {
  if (TakeOwnPayload(expected) != BytesOf(payloads.Under(kPayloadField))) {
    return "own payload differs";
  }
  const auto* type = expected.GetDescriptor();
  const auto* reflection = expected.GetReflection();
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    if (field->is_repeated() ||
        field->type() != FieldDescriptor::TYPE_MESSAGE) {
      continue;
    }
    std::string payload;
    if (reflection->HasField(expected, field)) {
      payload = TakeOwnPayload(*reflection->MutableMessage(&expected, field));
    }
    if (payload != BytesOf(payloads.Under(field->number()))) {
      return "payload of " + field->name() + " differs";
    }
  }
  return "";
}

// `fields` was read from `buffer`. What it takes beside its own object is known
// before.
std::string MeasureDifference(const grpc::ByteBuffer& buffer,
                              const Message& fields) {
  const std::unique_ptr<Message> empty(fields.New());
  const size_t taken = fields.SpaceUsedLong() - empty->SpaceUsedLong();
  const FieldBytes measured = MeasureFields(buffer, *fields.GetDescriptor());
  if (taken <= measured.parsed) return "";
  return "takes " + std::to_string(taken) + " bytes, measured as " +
         std::to_string(measured.parsed);
}

}  // namespace

const std::vector<const Message*>& EveryMessage() {
  static const auto* const kMessages = [] {
    auto* messages = new std::vector<const Message*>;
    const auto* file = v1::Tensor::descriptor()->file();
    for (int i = 0; i < file->message_type_count(); ++i) {
      // Never received, and full of strings, of which the parser complains.
      if (file->message_type(i) == v1::GetServerInfoResponse::descriptor()) {
        continue;
      }
      messages->push_back(
          google::protobuf::MessageFactory::generated_factory()->GetPrototype(
              file->message_type(i)));
    }
    return messages;
  }();
  return *kMessages;
}

grpc::ByteBuffer InSlices(const std::string& bytes,
                          const std::vector<size_t>& cuts) {
  std::vector<grpc::Slice> slices;
  size_t begin = 0;
  for (const size_t cut : cuts) {
    slices.emplace_back(bytes.data() + begin, cut - begin);
    begin = cut;
  }
  slices.emplace_back(bytes.data() + begin, bytes.size() - begin);
  return grpc::ByteBuffer(slices.data(), slices.size());
}

std::string SplitDifference(const Message& type, const std::string& bytes,
                            const std::vector<size_t>& cuts) {
  const std::unique_ptr<Message> expected(type.New());
  const bool is_message = expected->ParseFromString(bytes);

  const grpc::ByteBuffer buffer = InSlices(bytes, cuts);
  const std::unique_ptr<Message> fields(type.New());
  Payloads payloads;
  const absl::Status split = Split(buffer, *fields, payloads,
                                   [](uint64_t) { return absl::OkStatus(); });
  if (split.ok() != is_message) {
    return is_message ? "refused: " + std::string(split.message())
                      : "accepted what the parser refuses";
  }
  if (!is_message) return "";
  if (std::string difference = ComparePayloads(*expected, payloads);
      !difference.empty()) {
    return difference;
  }
  if (fields->SerializeAsString() != expected->SerializeAsString()) {
    return "parsed\n" + fields->DebugString() + "instead of\n" +
           expected->DebugString();
  }
  return MeasureDifference(buffer, *fields);
}

}  // namespace halfstep

#include "server/wire/field_bytes.h"

#include <gtest/gtest.h>

#include <string>

#include "halfstep/v1/quantization.pb.h"
#include "server/wire/wire.h"
#include "tests/server/split_oracle.h"

namespace halfstep {
namespace {

constexpr int kCount = 100'000;

template <typename Message>
FieldBytes Measure(const Message& message) {
  return MeasureFields(InSlices(message.SerializeAsString(), {}),
                       *Message::descriptor());
}

// That `bytes`, read as a `Message`, take what is measured, or a part of it
// that is not small. (Protobuf's report leaves out what the allocator adds,
// which is most of an unknown field.)
template <typename Message>
void ExpectMeasured(const std::string& bytes, size_t most_times = 4) {
  SCOPED_TRACE(Message::descriptor()->name());
  const FieldBytes measured = MeasureFields(InSlices(bytes, {bytes.size() / 3}),
                                            *Message::descriptor());
  EXPECT_EQ(measured.serialized, bytes.size());
  Message message;
  ASSERT_TRUE(message.ParseFromString(bytes));
  const size_t taken = message.SpaceUsedLong() - Message().SpaceUsedLong();
  EXPECT_LE(taken, measured.parsed);
  EXPECT_GE(most_times * taken, measured.parsed);
}

std::string Repeat(const std::string& text) {
  std::string result;
  for (int i = 0; i < kCount; ++i) result += text;
  return result;
}

TEST(MeasureFields, CountsNumbers) {
  v1::QuantizeRequest numbers;
  for (int i = 0; i < kCount; ++i) {
    numbers.mutable_parameters()->add_zero_point(i);
    numbers.mutable_parameters()->add_scale(i);
    numbers.mutable_tensor()->add_values(i);
    numbers.mutable_tensor()->add_shape(i);
  }
  ExpectMeasured<v1::QuantizeRequest>(numbers.SerializeAsString());
  // Shape and values of a tensor, each number a field.
  ExpectMeasured<v1::Tensor>(Repeat(std::string("\x10\x01", 2)));
  ExpectMeasured<v1::Tensor>(Repeat(std::string("\x19 a number", 9)));
}

TEST(MeasureFields, CountsObjects) {
  ExpectMeasured<v1::MergeRequest>(Repeat(std::string("\x0a\0", 2)));
  v1::ObserveRequest summaries;
  for (int i = 0; i < kCount; ++i) {
    summaries.mutable_state()->add_summaries()->add_bucket_count(
        static_cast<uint64_t>(i));
  }
  ExpectMeasured<v1::ObserveRequest>(summaries.SerializeAsString());
}

TEST(MeasureFields, CountsUnknownFields) {
  // Field 15 as a varint, empty and short bytes, a group with one of it in it.
  for (const std::string& field :
       {std::string("\x78\x01", 2), std::string("\x7a\0", 2),
        std::string("\x7a\x04 few", 6), std::string("\x7b\x78\x01\x7c", 4)}) {
    ExpectMeasured<v1::QuantizeRequest>(Repeat(field), 8);
  }
  // Field 1 of a tensor, an enum, as bytes.
  ExpectMeasured<v1::Tensor>(Repeat(std::string("\x0a\0", 2)), 8);
}

TEST(MeasureFields, LeavesPayloadsOut) {
  v1::MeasureErrorRequest request;
  request.mutable_original()->set_data(std::string(kCount, 'd'));
  request.mutable_quantized()->set_codes(std::string(kCount, 'c'));
  EXPECT_LT(Measure(request).serialized, 30u);
  EXPECT_LT(Measure(request).parsed, 1000u);
  v1::QuantizeStreamRequest piece;
  piece.set_data(std::string(kCount, 'd'));
  EXPECT_LT(Measure(piece).serialized, 10u);
}

TEST(MeasureFields, CountsWhatIsReadOfAMalformedMessage) {
  v1::QuantizeRequest numbers;
  for (int i = 0; i < kCount; ++i) numbers.mutable_tensor()->add_shape(i);
  const uint64_t whole = Measure(numbers).parsed;
  std::string bytes = numbers.SerializeAsString() + '\x07';
  EXPECT_GE(MeasureFields(InSlices(bytes, {}), *numbers.GetDescriptor()).parsed,
            whole);
  // Groups without an end, deeper than the parser goes.
  bytes.assign(kCount, '\x7b');
  EXPECT_LT(MeasureFields(InSlices(bytes, {}), *numbers.GetDescriptor()).parsed,
            100'000u);
}

TEST(Split, AsksBeforeItParses) {
  v1::QuantizeRequest request;
  request.mutable_tensor()->set_data(std::string(kCount, 'd'));
  for (int i = 0; i < kCount; ++i) {
    request.mutable_parameters()->add_zero_point(0);
  }
  const grpc::ByteBuffer message = InSlices(request.SerializeAsString(), {});
  v1::QuantizeRequest fields;
  Payloads payloads;
  uint64_t asked = 0;
  const auto hold = [&](uint64_t bytes) {
    EXPECT_EQ(fields.ByteSizeLong(), 0u);
    asked = bytes;
    return absl::ResourceExhaustedError("full");
  };
  EXPECT_EQ(Split(message, fields, payloads, hold).message(), "full");
  EXPECT_EQ(fields.ByteSizeLong(), 0u);
  const FieldBytes measured =
      MeasureFields(message, *v1::QuantizeRequest::descriptor());
  EXPECT_EQ(asked, measured.serialized + measured.parsed);
}

TEST(Split, AsksForNothingWhereOnlyThePayloadIsLong) {
  v1::QuantizeRequest request;
  request.mutable_tensor()->set_data(std::string(kCount, 'd'));
  v1::QuantizeRequest fields;
  Payloads payloads;
  const auto never = [](uint64_t) { return absl::InternalError("asked"); };
  EXPECT_TRUE(
      Split(InSlices(request.SerializeAsString(), {}), fields, payloads, never)
          .ok());
}

}  // namespace
}  // namespace halfstep

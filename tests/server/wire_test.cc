#include "server/wire/wire.h"

#include <google/protobuf/unknown_field_set.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "halfstep/v1/quantization.pb.h"
#include "tests/server/split_oracle.h"

namespace halfstep {
namespace {

absl::Status Hold(uint64_t) { return absl::OkStatus(); }

// What goes wrong in `bytes` as any message of the API, cut in two at every
// position, uncut, and into single bytes.
void ExpectSameAsParser(const std::string& bytes) {
  std::vector<size_t> every(bytes.size());
  std::iota(every.begin(), every.end(), size_t{0});
  for (const auto* type : EveryMessage()) {
    SCOPED_TRACE(type->GetTypeName());
    ASSERT_EQ(SplitDifference(*type, bytes, {}), "");
    ASSERT_EQ(SplitDifference(*type, bytes, every), "");
    for (size_t cut = 0; cut <= bytes.size(); ++cut) {
      ASSERT_EQ(SplitDifference(*type, bytes, {cut}), "") << "cut at " << cut;
    }
  }
}

std::string Bytes(std::initializer_list<int> bytes) {
  std::string result;
  for (const int byte : bytes) result.push_back(static_cast<char>(byte));
  return result;
}

// 1000 << 3 | 2 as a varint.
constexpr int kTag0 = 0xC2;
constexpr int kTag1 = 0x3E;

std::string Repeat(const std::string& text, int times) {
  std::string result;
  for (int i = 0; i < times; ++i) result += text;
  return result;
}

v1::QuantizeRequest SampleQuantize() {
  v1::QuantizeRequest request;
  request.mutable_spec()->set_bits(4);
  request.mutable_spec()->mutable_granularity()->mutable_group()->set_size(32);
  request.mutable_spec()->mutable_clamp()->set_min(-1.5);
  request.set_measure_error(true);
  request.mutable_tensor()->set_dtype(v1::DATA_TYPE_FLOAT32);
  request.mutable_tensor()->add_shape(2);
  request.mutable_tensor()->add_shape(1);
  request.mutable_tensor()->set_data("abcdefgh");
  return request;
}

v1::MeasureErrorRequest SampleMeasure() {
  v1::MeasureErrorRequest request;
  request.mutable_original()->set_data("original");
  request.mutable_original()->add_values(0.5);
  request.mutable_quantized()->mutable_parameters()->add_scale(0.25);
  request.mutable_quantized()->set_codes("codes");
  return request;
}

v1::QuantizeStreamRequest SampleStream() {
  v1::QuantizeStreamRequest request;
  request.mutable_parameter_piece()->add_scale(2);
  return request;
}

TEST(Split, LeavesPayloadWhereItIs) {
  const v1::QuantizeRequest request = SampleQuantize();
  std::string bytes = request.SerializeAsString();
  // Long enough for a slice of its own memory (gRPC keeps short ones inline).
  v1::QuantizeRequest big = request;
  big.mutable_tensor()->set_data(std::string(4096, 'x'));
  bytes = big.SerializeAsString();
  const grpc::ByteBuffer buffer = InSlices(bytes, {});
  std::vector<grpc::Slice> slices;
  ASSERT_TRUE(buffer.Dump(&slices).ok());

  v1::QuantizeRequest fields;
  Payloads payloads;
  ASSERT_TRUE(Split(buffer, fields, payloads, Hold).ok());
  const Pieces& data = payloads.Under(v1::QuantizeRequest::kTensorFieldNumber);
  ASSERT_EQ(data.size(), 4096u);
  ASSERT_EQ(data.ContiguousCount(0), 4096u);
  const auto* at = reinterpret_cast<const uint8_t*>(
      data.Contiguous(0, data.size(), nullptr));
  EXPECT_GE(at, slices[0].begin());
  EXPECT_LE(at + data.size(), slices[0].end());
  EXPECT_TRUE(fields.tensor().data().empty());
  EXPECT_EQ(fields.tensor().shape_size(), 2);
  EXPECT_EQ(payloads.Under(7).size(), 0u);
}

TEST(Split, NamesTheTypeItCannotParse) {
  v1::QuantizeRequest fields;
  Payloads payloads;
  const absl::Status status =
      Split(InSlices("\xff", {}), fields, payloads, Hold);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(),
            "request: cannot be parsed; must be a serialized "
            "halfstep.v1.QuantizeRequest");
}

TEST(Split, EqualsParserOnOrdinaryMessages) {
  ExpectSameAsParser("");
  ExpectSameAsParser(SampleQuantize().SerializeAsString());
  ExpectSameAsParser(SampleMeasure().SerializeAsString());
  ExpectSameAsParser(SampleStream().SerializeAsString());
  v1::QuantizeStreamRequest piece;
  piece.set_data("piece");
  ExpectSameAsParser(piece.SerializeAsString());
  piece.set_data("");
  ExpectSameAsParser(piece.SerializeAsString());
}

TEST(Split, EqualsParserOnRepeatedFields) {
  // Submessages given twice merge; the later payload wins, if there is one.
  const std::string once = SampleQuantize().SerializeAsString();
  v1::QuantizeRequest again;
  again.mutable_tensor()->add_shape(7);
  ExpectSameAsParser(once + again.SerializeAsString());
  again.mutable_tensor()->set_data("later");
  ExpectSameAsParser(once + again.SerializeAsString());
  ExpectSameAsParser(again.SerializeAsString() + once);
  // A payload given twice: the last wins, even an empty one.
  const std::string payload = Bytes({kTag0, kTag1, 2, 'h', 'i'});
  ExpectSameAsParser(payload + Bytes({kTag0, kTag1, 3, 'y', 'o', 'u'}));
  ExpectSameAsParser(payload + Bytes({kTag0, kTag1, 0}));
}

TEST(Split, EqualsParserOnOneofs) {
  // The later of two fields of a oneof clears the earlier one and its payload.
  v1::MeasureErrorRequest reconstructed;
  reconstructed.mutable_reconstructed()->set_data("reconstructed");
  const std::string one = SampleMeasure().SerializeAsString();
  const std::string other = reconstructed.SerializeAsString();
  ExpectSameAsParser(one + other);
  ExpectSameAsParser(other + one);
  ExpectSameAsParser(other + one + other);
  v1::QuantizeStreamRequest piece;
  piece.set_data("piece");
  ExpectSameAsParser(piece.SerializeAsString() +
                     SampleStream().SerializeAsString());
  ExpectSameAsParser(SampleStream().SerializeAsString() +
                     piece.SerializeAsString());
}

TEST(Split, EqualsParserOnUnknownAndMistypedFields) {
  const std::string known = SampleQuantize().SerializeAsString();
  // Field 99 as varint, fixed64, bytes, group with a field in it, fixed32.
  const std::vector<std::string> unknown = {
      Bytes({0x98, 0x06, 0x05}),
      Bytes({0x99, 0x06, 1, 2, 3, 4, 5, 6, 7, 8}),
      Bytes({0x9A, 0x06, 2, 'a', 'b'}),
      Bytes({0x9B, 0x06, 0x08, 0x01, 0x9C, 0x06}),
      Bytes({0x9D, 0x06, 1, 2, 3, 4}),
  };
  for (const std::string& field : unknown) {
    ExpectSameAsParser(field + known);
    ExpectSameAsParser(known + field);
    // Inside of the tensor (field 4 of QuantizeRequest), before a payload.
    const std::string inner = field + Bytes({kTag0, kTag1, 1, 'p'});
    ExpectSameAsParser(Bytes({0x22, static_cast<int>(inner.size())}) + inner);
  }
  // Field 1000 as a varint, a fixed64, a group; field 4 as a varint.
  ExpectSameAsParser(Bytes({0xC0, 0x3E, 0x05}) + known);
  ExpectSameAsParser(Bytes({0xC1, 0x3E, 1, 2, 3, 4, 5, 6, 7, 8}));
  ExpectSameAsParser(Bytes({0xC3, 0x3E, kTag0, kTag1, 1, 'x', 0xC4, 0x3E}));
  ExpectSameAsParser(Bytes({0x20, 0x01}) + known);
}

TEST(Split, EqualsParserOnUnusualVarints) {
  // Longer than needed: the tag in 5 bytes, the length in 5, a value in 10.
  ExpectSameAsParser(Bytes({0xC2, 0xBE, 0x80, 0x80, 0x00, 1, 'x'}));
  ExpectSameAsParser(Bytes({kTag0, kTag1, 0x81, 0x80, 0x80, 0x80, 0x00, 'x'}));
  ExpectSameAsParser(Bytes(
      {0x18, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00}));
  // One byte more than the parser takes.
  ExpectSameAsParser(Bytes({0xC2, 0xBE, 0x80, 0x80, 0x80, 0x00, 1, 'x'}));
  ExpectSameAsParser(
      Bytes({kTag0, kTag1, 0x81, 0x80, 0x80, 0x80, 0x80, 0x00, 'x'}));
  ExpectSameAsParser(Bytes({0x18, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
                            0x80, 0x80, 0x80, 0x00}));
  // Bits past 32 in a tag and in a length.
  ExpectSameAsParser(Bytes({0xC2, 0xBE, 0x80, 0x80, 0x70, 1, 'x'}));
  ExpectSameAsParser(Bytes({kTag0, kTag1, 0x81, 0x80, 0x80, 0x80, 0x10, 'x'}));
}

TEST(Split, EqualsParserOnMalformedMessages) {
  const std::vector<std::string> malformed = {
      Bytes({0x00}),              // tag 0
      Bytes({0x02, 0x00}),        // field 0
      Bytes({0x26, 0x00}),        // wire type 6
      Bytes({0x27}),              // wire type 7
      Bytes({0x24}),              // the end of a group that never began
      Bytes({0x9B, 0x06}),        // a group that never ends
      Bytes({0x9B, 0x06, 0x24}),  // a group that ends as another
      Bytes({0x22, 0x05, 0x00}),  // a length past the end
      Bytes({kTag0, kTag1, 0x7F, 'x'}),
      Bytes({kTag0, kTag1}),
      // A payload past the end of its tensor, though not of the message.
      Bytes({0x22, 4, kTag0, kTag1, 3, 'a', 'b', 'c', 'd'}),
      // A varint of the tensor that ends behind it.
      Bytes({0x22, 2, 0x08, 0x80, 0x01}),
      // A group that begins in the tensor and ends behind it.
      Bytes({0x22, 2, 0x9B, 0x06, 0x9C, 0x06}),
  };
  for (const std::string& bytes : malformed) {
    ExpectSameAsParser(bytes);
    ExpectSameAsParser(SampleQuantize().SerializeAsString() + bytes);
  }
}

TEST(Split, EqualsParserOnTruncatedMessages) {
  for (const std::string& whole : {SampleQuantize().SerializeAsString(),
                                   SampleMeasure().SerializeAsString()}) {
    for (size_t size = 0; size < whole.size(); ++size) {
      SCOPED_TRACE(size);
      ExpectSameAsParser(whole.substr(0, size));
    }
  }
}

TEST(Split, EqualsParserOnDeepGroups) {
  // The parser goes 100 deep, where a submessage counts as one.
  for (const int depth : {1, 98, 99, 100, 101, 200}) {
    SCOPED_TRACE(depth);
    const std::string groups =
        Repeat(Bytes({0x9B, 0x06}), depth) + Repeat(Bytes({0x9C, 0x06}), depth);
    const v1::QuantizeRequest request;
    EXPECT_EQ(SplitDifference(request, groups, {}), "");
    std::string nested = Bytes({0x22});
    nested.push_back(static_cast<char>(0x80 | (groups.size() & 0x7F)));
    nested.push_back(static_cast<char>(groups.size() >> 7));
    EXPECT_EQ(SplitDifference(request, nested + groups, {}), "");
  }
}

// Fields of more than kFreeFieldBytes are split from the beginning again, once
// there is memory for them: nothing of the first time may be left.
TEST(Split, ReadsFieldsThatAreLong) {
  const std::string payload = SampleQuantize().SerializeAsString();
  const std::string few(kFreeFieldBytes, 'f');
  v1::QuantizeRequest packed;
  v1::QuantizeRequest unknown;
  for (int i = 0; i < 100'000; ++i) packed.mutable_tensor()->add_shape(i);
  auto* const set = unknown.GetReflection()->MutableUnknownFields(&unknown);
  set->AddLengthDelimited(99, few);
  v1::QuantizeRequest grouped;
  auto* const group =
      grouped.GetReflection()->MutableUnknownFields(&grouped)->AddGroup(98);
  group->AddLengthDelimited(97, few);
  group->AddVarint(96, 1);
  v1::QuantizeRequest many;
  for (int i = 0; i < 40'000; ++i) {
    many.GetReflection()->MutableUnknownFields(&many)->AddVarint(95, 1);
  }
  for (const auto* fields : {&packed, &unknown, &grouped, &many}) {
    const std::string bytes = fields->SerializeAsString();
    ASSERT_GT(bytes.size(), kFreeFieldBytes);
    const v1::QuantizeRequest type;
    for (const std::string& whole :
         {payload + bytes, bytes + payload, payload + bytes + payload,
          payload + bytes + payload + "\x07"}) {
      EXPECT_EQ(
          SplitDifference(type, whole, {payload.size() / 2, kFreeFieldBytes}),
          "");
    }
  }
}

// Changes `bytes` in one of the ways in which messages get broken.
void Mutate(std::mt19937& random, std::string& bytes) {
  const auto below = [&random](size_t bound) {
    return std::uniform_int_distribution<size_t>(0, bound - 1)(random);
  };
  const size_t at = below(bytes.size() + 1);
  const size_t count = std::min(below(9), bytes.size() - at);
  switch (below(5)) {
    case 0:
      if (at < bytes.size()) bytes[at] = static_cast<char>(below(256));
      break;
    case 1:
      bytes.insert(at, 1, static_cast<char>(below(256)));
      break;
    case 2:
      bytes.erase(at, count);
      break;
    case 3:
      bytes.insert(below(bytes.size() + 1), bytes.substr(at, count));
      break;
    default:
      if (at < bytes.size()) {
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
      }
      break;
  }
}

TEST(Split, EqualsParserOnMutatedMessages) {
  const std::vector<std::string> seeds = {
      SampleQuantize().SerializeAsString(), SampleMeasure().SerializeAsString(),
      SampleMeasure().SerializeAsString() +
          SampleQuantize().SerializeAsString(),
      SampleStream().SerializeAsString()};
  std::mt19937 random(20240229);
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = seeds[static_cast<size_t>(round) % seeds.size()];
    for (int i = 0; i <= round % 4; ++i) Mutate(random, bytes);
    const size_t cut =
        std::uniform_int_distribution<size_t>(0, bytes.size())(random);
    for (const auto* type : EveryMessage()) {
      ASSERT_EQ(SplitDifference(*type, bytes, {cut}), "")
          << type->GetTypeName() << " in round " << round;
    }
  }
}

std::string Flat(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(buffer.Dump(&slices).ok());
  std::string result;
  for (const grpc::Slice& slice : slices) {
    result.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return result;
}

TEST(Join, IsWhatTheParserReads) {
  v1::QuantizeResponse response;
  response.mutable_error()->set_sqnr_db(40);
  response.mutable_cuts()->set_saturated_count(3);
  v1::QuantizedTensor tensor;
  tensor.mutable_parameters()->add_scale(0.5);
  tensor.set_dtype(v1::DATA_TYPE_FLOAT32);
  // Lengths whose varints have 1, 2, 3 and 4 bytes.
  for (const size_t size : {1u, 127u, 128u, 16'383u, 16'384u, 2'097'152u}) {
    SCOPED_TRACE(size);
    const std::string codes(size, 'c');
    v1::QuantizeResponse expected = response;
    *expected.mutable_tensor() = tensor;
    expected.mutable_tensor()->set_codes(codes);

    const grpc::ByteBuffer joined =
        Join(response, v1::QuantizeResponse::kTensorFieldNumber, tensor,
             grpc::Slice(codes));
    v1::QuantizeResponse parsed;
    ASSERT_TRUE(parsed.ParseFromString(Flat(joined)));
    EXPECT_EQ(parsed.SerializeAsString(), expected.SerializeAsString());
  }
}

TEST(Join, LeavesOutAnEmptyPayload) {
  v1::Tensor tensor;
  tensor.add_values(1);
  v1::DequantizeResponse expected;
  *expected.mutable_tensor() = tensor;
  EXPECT_EQ(Flat(Join(v1::DequantizeResponse(), 1, tensor, grpc::Slice())),
            expected.SerializeAsString());
}

TEST(Join, SendsTheMemoryThatThePoolGave) {
  const auto pool = BufferPool::Create(size_t{1} << 20);
  Buffer buffer = pool->Take(100'000);
  std::fill(buffer.bytes().begin(), buffer.bytes().end(), std::byte{7});
  const std::byte* const memory = buffer.bytes().data();
  {
    const grpc::ByteBuffer joined = Join(
        v1::DequantizeResponse(), 1, v1::Tensor(), ToSlice(std::move(buffer)));
    std::vector<grpc::Slice> slices;
    ASSERT_TRUE(joined.Dump(&slices).ok());
    ASSERT_EQ(slices.size(), 2u);
    EXPECT_EQ(reinterpret_cast<const std::byte*>(slices[1].begin()), memory);
    EXPECT_EQ(pool->idle_bytes(), 0u);
  }
  EXPECT_GE(pool->idle_bytes(), 100'000u);
  EXPECT_EQ(pool->Take(100'000).bytes().data(), memory);
}

TEST(Serialize, IsTheMessage) {
  const v1::QuantizeRequest request = SampleQuantize();
  EXPECT_EQ(Flat(Serialize(request)), request.SerializeAsString());
  EXPECT_EQ(Flat(Serialize(v1::GetServerInfoRequest())), "");
}

}  // namespace
}  // namespace halfstep

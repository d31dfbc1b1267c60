// Streams against the operations on whole tensors: however data and pairs are
// cut, the windows add up to the same bits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "core/dequantize_stream.h"
#include "core/field_error.h"
#include "core/quantize.h"
#include "core/quantize_stream.h"

namespace halfstep {
namespace {

using ::testing::HasSubstr;

constexpr TensorStreamLimits kLimits = {.buffered_bytes_max = 64 << 20,
                                        .pairs_max = 1 << 22};
using Kind = Granularity::Kind;

struct Case {
  Shape shape;
  Granularity granularity;
  DataType dtype = DataType::kFloat32;
  uint32_t bits = 8;
  Packing packing = Packing::kNone;
  CodeType code_type = CodeType::kUnspecified;
  Scheme scheme = Scheme::kUnspecified;
};

std::vector<Case> Cases() {
  return {
      {{}, {}},
      {{0}, {}},
      {{3, 0}, {Kind::kAxis, 0, 0}},
      {{300000}, {}},
      {{300000}, {}, DataType::kFloat64, 20, Packing::kDense},
      {{3, 70001}, {Kind::kAxis, 0, 0}, DataType::kFloat16},
      {{2, 200000}, {Kind::kAxis, 0, 0}},    // slices longer than a block
      {{2000, 100}, {Kind::kGroup, 1, 32}},  // ragged; blocks cut slices
      {{2000, 128}, {Kind::kGroup, 1, 32}},
      {{2000, 128},
       {Kind::kGroup, -1, 128},
       DataType::kBFloat16,
       4,
       Packing::kDense},
      {{200001}, {Kind::kGroup, 0, 1}, DataType::kFloat32, 3, Packing::kDense},
      {{200001}, {Kind::kGroup, 0, 70000}},
      {{3000, 37}, {Kind::kAxis, -1, 0}},     // tiled
      {{2, 70000, 1}, {Kind::kAxis, 1, 0}},   // more slots than are tiled
      {{70, 5, 300}, {Kind::kAxis, 1, 0}},    // long runs
      {{50, 60, 40}, {Kind::kGroup, 1, 16}},  // columns
      {{150000}, {}, DataType::kFloat32, 0, Packing::kNone, CodeType::kFloat16},
      {{90000},
       {},
       DataType::kFloat32,
       8,
       Packing::kNone,
       CodeType::kUnspecified,
       Scheme::kSymmetric},
  };
}

Spec SpecOf(const Case& tested) {
  Spec spec;
  spec.granularity = tested.granularity;
  spec.bits = tested.bits;
  spec.packing = tested.packing;
  spec.code_type = tested.code_type;
  spec.scheme = tested.scheme;
  spec.non_finite_policy = NonFinitePolicy::kSaturate;
  return spec;
}

std::vector<std::byte> RandomReals(const Case& tested, size_t count,
                                   std::mt19937_64& random) {
  std::vector<std::byte> bytes(count * ByteSize(tested.dtype));
  std::normal_distribution<double> normal(1, 3);
  for (size_t i = 0; i < count; ++i) {
    double real = normal(random);
    if (random() % 5000 == 0) real = std::numeric_limits<double>::infinity();
    const auto single = static_cast<float>(real);
    switch (tested.dtype) {
      case DataType::kFloat64:
        std::memcpy(bytes.data() + i * 8, &real, 8);
        break;
      case DataType::kFloat32:
        std::memcpy(bytes.data() + i * 4, &single, 4);
        break;
      case DataType::kFloat16:
      case DataType::kBFloat16: {
        // Any pattern but those of NaN and infinity.
        const auto pattern = static_cast<uint16_t>(random() % 0x7C00);
        std::memcpy(bytes.data() + i * 2, &pattern, 2);
        break;
      }
    }
  }
  return bytes;
}

// Ends of pieces of [0, size), some of them empty or of a single byte.
std::vector<size_t> RandomCuts(size_t size, std::mt19937_64& random) {
  std::vector<size_t> ends;
  const size_t scale = size_t{1} << (random() % 21 + 1);
  for (size_t at = 0; at < size;) {
    const size_t step = random() % 4 == 0 ? random() % 3 : random() % scale;
    // Not thousands of pieces of one byte: each is a call.
    at += step + (size / 2000);
    ends.push_back(std::min(at, size));
  }
  return ends;
}

struct Streamed {
  Parameters parameters;
  std::vector<std::byte> bytes;
  Cuts cuts;
  std::optional<ErrorReport> error;
};

class StreamTest : public ::testing::Test {
 protected:
  Execution execution() { return {executor_, cancellation_}; }

  void Drain(QuantizeStream& stream, Streamed& out) {
    while (const std::optional<Window> window = stream.Next()) {
      const size_t at = out.bytes.size();
      out.bytes.resize(at + stream.CodeBytesOf(*window));
      const absl::StatusOr<PairPiece> pairs = stream.Run(
          *window, execution(), absl::MakeSpan(out.bytes).subspan(at));
      ASSERT_TRUE(pairs.ok()) << pairs.status();
      Append(*pairs, out);
    }
    stream.Keep();
  }

  static void Append(const PairPiece& pairs, Streamed& out) {
    out.parameters.scale.insert(out.parameters.scale.end(), pairs.scale.begin(),
                                pairs.scale.end());
    out.parameters.zero_point.insert(out.parameters.zero_point.end(),
                                     pairs.zero_point.begin(),
                                     pairs.zero_point.end());
  }

  void Send(QuantizeStream& stream, const std::vector<std::byte>& reals,
            std::mt19937_64& random, Streamed& out) {
    size_t begin = 0;
    for (const size_t end : RandomCuts(reals.size(), random)) {
      // In memory that is gone after Keep.
      const std::vector<std::byte> piece(reals.data() + begin,
                                         reals.data() + end);
      ASSERT_EQ(stream.Add(Pieces(piece)), absl::OkStatus());
      Drain(stream, out);
      begin = end;
    }
  }

  void Finish(QuantizeStream& stream, Streamed& out) {
    ASSERT_EQ(stream.End(), absl::OkStatus());
    Drain(stream, out);
    const absl::StatusOr<PairPiece> rest = stream.Rest(execution());
    ASSERT_TRUE(rest.ok());
    Append(*rest, out);
    out.cuts = stream.cuts();
    out.error = stream.Report();
  }

  void ExpectEqual(const Streamed& streamed, const QuantizeResult& whole,
                   const std::vector<std::byte>& codes) {
    EXPECT_TRUE(streamed.parameters == whole.parameters);
    EXPECT_TRUE(streamed.bytes == codes);
    EXPECT_TRUE(streamed.cuts == whole.cuts);
    EXPECT_TRUE(streamed.error == whole.error);
  }

  Executor executor_{{.threads = 2}};
  Cancellation cancellation_;
};

TEST_F(StreamTest, AddsUpToTheWholeTensorHoweverItIsCut) {
  std::mt19937_64 random(20240611);
  for (size_t index = 0; index < Cases().size(); ++index) {
    SCOPED_TRACE(index);
    const Case tested = Cases()[index];
    const auto plan = QuantizePlan::Dynamic(SpecOf(tested), tested.dtype,
                                            tested.shape, kLimits.pairs_max);
    ASSERT_TRUE(plan.ok()) << plan.status();
    const auto count = static_cast<size_t>(plan->element_count());
    const std::vector<std::byte> reals = RandomReals(tested, count, random);
    std::vector<std::byte> codes(plan->code_bytes());
    const auto whole = Quantize(*plan, Pieces(reals), true, execution(),
                                absl::MakeSpan(codes));
    ASSERT_TRUE(whole.ok()) << whole.status();
    for (int repetition = 0; repetition < 4; ++repetition) {
      SCOPED_TRACE(repetition);
      {
        auto stream = QuantizeStream::Dynamic(SpecOf(tested), tested.dtype,
                                              tested.shape, true, kLimits);
        ASSERT_TRUE(stream.ok()) << stream.status();
        Streamed out;
        out.parameters = (*stream)->parameters();
        Send(**stream, reals, random, out);
        Finish(**stream, out);
        ExpectEqual(out, *whole, codes);
      }
      {  // static, all pairs in the header
        auto stream = QuantizeStream::Static(whole->parameters, tested.dtype,
                                             tested.shape, true, kLimits);
        ASSERT_TRUE(stream.ok()) << stream.status();
        Streamed out;
        out.parameters = (*stream)->parameters();
        Send(**stream, reals, random, out);
        Finish(**stream, out);
        ExpectEqual(out, *whole, codes);
      }
    }
  }
}

TEST_F(StreamTest, TakesPairsInPiecesBeforeTheDataThatNeedsThem) {
  std::mt19937_64 random(7);
  for (size_t index = 0; index < Cases().size(); ++index) {
    SCOPED_TRACE(index);
    const Case tested = Cases()[index];
    const auto plan = QuantizePlan::Dynamic(SpecOf(tested), tested.dtype,
                                            tested.shape, kLimits.pairs_max);
    ASSERT_TRUE(plan.ok());
    if (plan->pair_count() == 0) continue;
    const auto count = static_cast<size_t>(plan->element_count());
    const std::vector<std::byte> reals = RandomReals(tested, count, random);
    std::vector<std::byte> codes(plan->code_bytes());
    const auto whole = Quantize(*plan, Pieces(reals), true, execution(),
                                absl::MakeSpan(codes));
    ASSERT_TRUE(whole.ok());
    const SliceLayout layout(plan->spec().granularity, tested.shape);

    Parameters begin = whole->parameters;
    const size_t in_header = random() % (begin.scale.size() + 1);
    const bool symmetric = begin.zero_point.empty();
    begin.scale.resize(in_header);
    if (!symmetric) begin.zero_point.resize(in_header);
    auto stream = QuantizeStream::Static(begin, tested.dtype, tested.shape,
                                         true, kLimits);
    ASSERT_TRUE(stream.ok()) << stream.status();
    Streamed out;
    out.parameters = (*stream)->parameters();
    size_t sent = in_header;
    const size_t size = ByteSize(tested.dtype);
    const auto send_pairs = [&](size_t until) {
      if (until <= sent) return;
      const auto part = [&](const auto& all) {
        return std::vector(all.begin() + static_cast<ptrdiff_t>(sent),
                           all.begin() + static_cast<ptrdiff_t>(until));
      };
      PairPiece piece = {.scale = part(whole->parameters.scale),
                         .zero_point = {}};
      if (!symmetric) piece.zero_point = part(whole->parameters.zero_point);
      ASSERT_EQ((*stream)->AddPairs(piece), absl::OkStatus());
      Append(piece, out);
      sent = until;
    };
    size_t from = 0;
    for (const size_t end : RandomCuts(reals.size(), random)) {
      const size_t needed = layout.PairsBefore((end + size - 1) / size);
      if (needed > sent) {
        // One too few is refused: seen on a stream that is then thrown away.
        Parameters short_of_one = whole->parameters;
        short_of_one.scale.resize(needed - 1);
        if (!symmetric) short_of_one.zero_point.resize(needed - 1);
        auto refusing = QuantizeStream::Static(short_of_one, tested.dtype,
                                               tested.shape, true, kLimits);
        ASSERT_TRUE(refusing.ok());
        const absl::Status refused = (*refusing)->Add(
            Pieces(absl::MakeConstSpan(reals).subspan(0, end)));
        EXPECT_EQ(FieldPath(refused), "data");
        send_pairs(needed);
      }
      ASSERT_EQ((*stream)->Add(Pieces(
                    absl::MakeConstSpan(reals).subspan(from, end - from))),
                absl::OkStatus());
      Drain(**stream, out);
      from = end;
    }
    send_pairs(whole->parameters.scale.size());
    Finish(**stream, out);
    ExpectEqual(out, *whole, codes);
  }
}

TEST_F(StreamTest, DequantizesToTheSameBitsHoweverCodesAreCut) {
  std::mt19937_64 random(11);
  for (size_t index = 0; index < Cases().size(); ++index) {
    SCOPED_TRACE(index);
    const Case tested = Cases()[index];
    const auto plan = QuantizePlan::Dynamic(SpecOf(tested), tested.dtype,
                                            tested.shape, kLimits.pairs_max);
    ASSERT_TRUE(plan.ok());
    const auto count = static_cast<size_t>(plan->element_count());
    const std::vector<std::byte> reals = RandomReals(tested, count, random);
    std::vector<std::byte> codes(plan->code_bytes());
    const auto quantized = Quantize(*plan, Pieces(reals), false, execution(),
                                    absl::MakeSpan(codes));
    ASSERT_TRUE(quantized.ok());
    const auto given = QuantizePlan::Static(quantized->parameters, tested.dtype,
                                            tested.shape, kLimits.pairs_max);
    ASSERT_TRUE(given.ok());
    std::vector<std::byte> whole(reals.size());
    ASSERT_EQ(Dequantize(*given, Pieces(codes), tested.dtype, execution(),
                         absl::MakeSpan(whole)),
              absl::OkStatus());
    auto stream = DequantizeStream::Begin(quantized->parameters, tested.dtype,
                                          tested.shape, kLimits);
    ASSERT_TRUE(stream.ok()) << stream.status();
    std::vector<std::byte> out;
    size_t from = 0;
    for (const size_t end : RandomCuts(codes.size(), random)) {
      const std::vector<std::byte> piece(codes.data() + from,
                                         codes.data() + end);
      ASSERT_EQ((*stream)->Add(Pieces(piece)), absl::OkStatus());
      while (const auto window = (*stream)->Next()) {
        const size_t at = out.size();
        out.resize(at + (*stream)->RealBytesOf(*window));
        ASSERT_EQ((*stream)->Run(*window, execution(),
                                 absl::MakeSpan(out).subspan(at)),
                  absl::OkStatus());
      }
      (*stream)->Keep();
      from = end;
    }
    ASSERT_EQ((*stream)->End(), absl::OkStatus());
    EXPECT_TRUE(out == whole);
  }
}

TEST_F(StreamTest, HoldsNoMoreThanABlockWherePairsAreKnown) {
  Spec spec;
  spec.granularity = {Kind::kGroup, 1, 32};
  const std::vector<int64_t> shape = {1 << 14, 1024};
  auto stream =
      QuantizeStream::Dynamic(spec, DataType::kFloat32, shape, false, kLimits);
  ASSERT_TRUE(stream.ok());
  const std::vector<float> reals(300001, 1.5f);
  Streamed out;
  const auto bytes = absl::MakeConstSpan(
      reinterpret_cast<const std::byte*>(reals.data()), reals.size() * 4);
  for (int i = 0; i < 50; ++i) {
    ASSERT_EQ((*stream)->Add(Pieces(bytes)), absl::OkStatus());
    Drain(**stream, out);
    // A block of float32 that is not whole in two chunks of 256 KiB, and the
    // pairs of one slice (the store moves them in steps of 1,024 or more).
    EXPECT_LE((*stream)->held_bytes(), (2 << 18) + 8 * 64);
  }
}

TEST_F(StreamTest, RefusesWhatWouldHaveToBeHeldBack) {
  const TensorStreamLimits limits = {.buffered_bytes_max = 4000,
                                     .pairs_max = 10};
  const auto fits =
      QuantizeStream::Dynamic({}, DataType::kFloat32, {1000}, false, limits);
  EXPECT_TRUE(fits.ok());
  const auto whole =
      QuantizeStream::Dynamic({}, DataType::kFloat32, {1001}, false, limits);
  EXPECT_EQ(whole.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(whole.status().message()), HasSubstr("Observe"));
  Spec rows;
  rows.granularity = {Kind::kAxis, 0, 0};
  EXPECT_TRUE(QuantizeStream::Dynamic(rows, DataType::kFloat32, {{50, 1000}},
                                      false, limits)
                  .ok());
  EXPECT_EQ(QuantizeStream::Dynamic(rows, DataType::kFloat32, {{50, 1001}},
                                    false, limits)
                .status()
                .code(),
            absl::StatusCode::kFailedPrecondition);
  Spec columns;
  columns.granularity = {Kind::kAxis, 1, 0};
  const auto many = QuantizeStream::Dynamic(columns, DataType::kFloat32,
                                            {{5, 11}}, false, limits);
  EXPECT_EQ(FieldPath(many.status()), "spec.granularity");
}

TEST_F(StreamTest, NamesWhatIsMissingOrTooMuch) {
  const std::vector<std::byte> bytes(41);
  const auto part = [&](size_t size) {
    return Pieces(absl::MakeConstSpan(bytes).subspan(0, size));
  };
  Parameters parameters;
  parameters.spec.granularity = {Kind::kGroup, 0, 5};
  parameters.scale = {1};
  parameters.zero_point = {0};
  const auto begin = [&] {
    return *QuantizeStream::Static(parameters, DataType::kFloat32, {10}, false,
                                   kLimits);
  };
  EXPECT_EQ(FieldPath(begin()->Add(part(41))), "data");
  EXPECT_EQ(FieldPath(begin()->Add(part(21))), "data");  // a byte of element 5
  EXPECT_EQ(begin()->Add(part(20)), absl::OkStatus());
  EXPECT_EQ(FieldPath(begin()->End()), "data");
  PairPiece two = {.scale = {1, 1}, .zero_point = {0, 0}};
  EXPECT_EQ(FieldPath(begin()->AddPairs(two)), "scale");
  PairPiece unequal = {.scale = {1}, .zero_point = {}};
  EXPECT_EQ(FieldPath(begin()->AddPairs(unequal)), "zero_point");
  PairPiece bad = {.scale = {0}, .zero_point = {0}};
  EXPECT_EQ(FieldPath(begin()->AddPairs(bad)), "scale[0]");
  PairPiece outside = {.scale = {1}, .zero_point = {256}};
  EXPECT_EQ(FieldPath(begin()->AddPairs(outside)), "zero_point[0]");
  auto dynamic =
      *QuantizeStream::Dynamic({}, DataType::kFloat32, {10}, false, kLimits);
  PairPiece one = {.scale = {1}, .zero_point = {0}};
  EXPECT_EQ(FieldPath(dynamic->AddPairs(one)), "scale");
}

TEST_F(StreamTest, NamesTheIndexOfAnInfinityInTheWholeTensor) {
  std::vector<float> reals(200000, 1.0f);
  reals[150001] = std::numeric_limits<float>::infinity();
  Parameters parameters;
  parameters.scale = {1};
  parameters.zero_point = {0};
  auto stream = QuantizeStream::Static(parameters, DataType::kFloat32, {200000},
                                       false, kLimits);
  ASSERT_TRUE(stream.ok());
  ASSERT_EQ((*stream)->Add(Pieces(absl::MakeConstSpan(
                reinterpret_cast<const std::byte*>(reals.data()), 800000))),
            absl::OkStatus());
  std::vector<std::byte> codes(200000);
  const auto window = (*stream)->Next();
  ASSERT_TRUE(window.has_value());
  const auto run = (*stream)->Run(*window, execution(), absl::MakeSpan(codes));
  EXPECT_EQ(FieldPath(run.status()), "data");
  EXPECT_THAT(std::string(run.status().message()), HasSubstr("150001"));
}

}  // namespace
}  // namespace halfstep

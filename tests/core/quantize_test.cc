// The passes against the definition, element by element: every granularity,
// however the reals are cut and however many threads there are.
#include "core/quantize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "core/field_error.h"
#include "core/kernels/range.h"
#include "core/kernels/reference.h"
#include "core/pair_table.h"
#include "tests/core/kernels/boundary_reals.h"

namespace halfstep {
namespace {

using ::testing::StartsWith;

constexpr uint64_t kPairsMax = 1 << 22;

struct TensorCase {
  Shape shape;
  Granularity granularity;
};

using Kind = Granularity::Kind;

// As ctest's names and failures show it.
void PrintTo(const TensorCase& tensor, std::ostream* out) {
  *out << '[' << absl::StrJoin(tensor.shape, ", ") << ']';
  switch (tensor.granularity.kind) {
    case Kind::kTensor:
      *out << " whole";
      break;
    case Kind::kAxis:
      *out << " axis " << tensor.granularity.axis;
      break;
    case Kind::kGroup:
      *out << " axis " << tensor.granularity.axis << " in groups of "
           << tensor.granularity.group_size;
      break;
  }
}

std::vector<TensorCase> TensorCases() {
  return {
      {{}, {}},
      {{0}, {}},
      {{70000}, {}},
      {{3, 0, 2}, {Kind::kAxis, 0, 0}},
      {{5, 300}, {Kind::kAxis, 0, 0}},
      {{3, 9000}, {Kind::kAxis, 0, 0}},      // slices longer than are fused
      {{2, 70000}, {Kind::kAxis, 0, 0}},     // slices longer than a block
      {{2000, 37}, {Kind::kAxis, -1, 0}},    // strided, tiled
      {{40, 6, 3}, {Kind::kAxis, 1, 0}},     // short runs, tiled
      {{7, 5, 130}, {Kind::kAxis, 1, 0}},    // runs
      {{2, 70000, 1}, {Kind::kAxis, 1, 0}},  // more slots than are tiled
      {{900, 100}, {Kind::kGroup, 1, 32}},   // ragged last groups
      {{900, 100}, {Kind::kGroup, -1, 128}},
      // By portions: the last one short, and alone in its block or tensor.
      {{530, 128}, {Kind::kGroup, 1, 32}},
      {{1025, 64}, {Kind::kAxis, 0, 0}},
      {{6, 64}, {Kind::kGroup, 1, 32}},
      {{70001}, {Kind::kGroup, 0, 1}},
      {{70001}, {Kind::kGroup, 0, 20000}},
      {{10, 50, 20}, {Kind::kGroup, 1, 16}},  // columns
      {{10, 50, 20}, {Kind::kGroup, 0, 3}},
      {{33}, {Kind::kGroup, 0, int64_t{1} << 62}},
  };
}

// The pair of the element with row-major index `element`: by coordinates, as
// docs/numerics.md, section 5, says.
size_t PairOf(const TensorCase& tensor, size_t element) {
  if (tensor.granularity.kind == Kind::kTensor) return 0;
  const auto rank = static_cast<int>(tensor.shape.size());
  int axis = tensor.granularity.axis;
  if (axis < 0) axis += rank;
  size_t pair = 0;
  size_t stride = 1;
  for (int i = rank - 1; i >= 0; --i) {
    const auto length =
        static_cast<size_t>(tensor.shape[static_cast<size_t>(i)]);
    size_t index = element % length;
    element /= length;
    size_t count = length;
    if (tensor.granularity.kind == Kind::kAxis) {
      if (i == axis) return index;
      continue;
    }
    if (i == axis) {
      const auto size = static_cast<size_t>(tensor.granularity.group_size);
      index /= size;
      count = (length - 1) / size + 1;
    }
    pair += index * stride;
    stride *= count;
  }
  return pair;
}

template <typename T>
Pieces Cut(const std::vector<T>& reals, size_t piece,
           std::vector<std::vector<std::byte>>& storage) {
  const auto* bytes = reinterpret_cast<const std::byte*>(reals.data());
  const size_t size = reals.size() * sizeof(T);
  Pieces pieces;
  storage.clear();
  for (size_t begin = 0; begin < size; begin += piece) {
    const size_t part = std::min(piece, size - begin);
    // One byte off, so that no element is aligned.
    std::vector<std::byte> copy(part + 1);
    std::memcpy(copy.data() + 1, bytes + begin, part);
    storage.push_back(std::move(copy));
    pieces.Append({storage.back().data() + 1, part});
  }
  return pieces;
}

template <typename T>
struct Expected {
  Parameters parameters;
  std::vector<int64_t> codes;
  std::vector<T> back;
  std::vector<bool> mask;
  Cuts cuts;
};

template <typename T>
Expected<T> ByDefinition(const QuantizePlan& plan, const TensorCase& tensor,
                         const std::vector<T>& reals) {
  const auto pairs = static_cast<size_t>(plan.pair_count());
  std::vector<T> low(pairs, std::numeric_limits<T>::infinity());
  std::vector<T> high(pairs, -std::numeric_limits<T>::infinity());
  for (size_t i = 0; i < reals.size(); ++i) {
    if (!std::isfinite(reals[i])) continue;
    const size_t pair = PairOf(tensor, i);
    low[pair] = std::min(low[pair], reals[i]);
    high[pair] = std::max(high[pair], reals[i]);
  }
  const kernels::RangeRule<T> rule = RuleOf<T>(plan.spec());
  std::vector<T> scale(pairs);
  std::vector<int32_t> zero_point(pairs, 0);
  kernels::ChooseParameters(rule, low.data(), high.data(), pairs, scale.data(),
                            zero_point.data());
  Expected<T> expected;
  expected.parameters.spec = plan.spec();
  expected.parameters.scale.assign(scale.begin(), scale.end());
  if (!rule.symmetric) expected.parameters.zero_point = zero_point;
  for (size_t i = 0; i < reals.size(); ++i) {
    const size_t pair = PairOf(tensor, i);
    const auto coded = kernels::reference::Quantize(
        reals[i], scale[pair], zero_point[pair], rule.quantize);
    expected.codes.push_back(coded.code);
    expected.back.push_back(kernels::reference::Dequantize<T>(
        coded.code, scale[pair], zero_point[pair]));
    expected.mask.push_back(
        !(coded.clamped || coded.non_finite || coded.saturated));
    expected.cuts.clamped_count += coded.clamped;
    expected.cuts.non_finite_count += coded.non_finite;
    expected.cuts.saturated_count += coded.saturated;
  }
  return expected;
}

// Error sums by their definition (docs/numerics.md, section 7).
template <typename T>
double SquaredErrorByDefinition(const std::vector<T>& reals,
                                const std::vector<T>& back) {
  double total = 0;
  for (size_t block = 0; block < reals.size(); block += 65536) {
    double a[8] = {};
    for (size_t i = block; i < std::min(block + 65536, reals.size()); ++i) {
      if (!std::isfinite(reals[i])) continue;
      const double e = static_cast<double>(reals[i]) - back[i];
      a[i % 8] += e * e;
    }
    total += ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]));
  }
  return total;
}

int64_t CodeAt(const Spec& spec, const std::vector<std::byte>& codes,
               size_t i) {
  if (spec.packing == Packing::kDense) {
    uint64_t code = 0;
    for (uint32_t k = 0; k < spec.bits; ++k) {
      const size_t bit = i * spec.bits + k;
      code |= (std::to_integer<uint64_t>(codes[bit / 8]) >> bit % 8 & 1) << k;
    }
    if (spec.code_type == CodeType::kInt && code >> (spec.bits - 1) != 0) {
      return static_cast<int64_t>(code) - (int64_t{1} << spec.bits);
    }
    return static_cast<int64_t>(code);
  }
  const size_t size = CodeByteSize(spec);
  uint64_t code = 0;
  std::memcpy(&code, codes.data() + i * size, size);
  const auto shift = static_cast<int>(64 - 8 * size);
  return spec.code_type == CodeType::kInt
             ? static_cast<int64_t>(code << shift) >> shift
             : static_cast<int64_t>(code);
}

template <typename T>
void TryTensor(const TensorCase& tensor, const Spec& base, DataType dtype,
               Executor& executor, size_t piece) {
  const Cancellation never;
  const Execution execution = {executor, never};
  Spec spec = base;
  spec.granularity = tensor.granularity;
  spec.non_finite_policy = NonFinitePolicy::kSaturate;
  const auto plan = QuantizePlan::Dynamic(spec, dtype, tensor.shape, kPairsMax);
  ASSERT_TRUE(plan.ok()) << plan.status();
  const auto count = static_cast<size_t>(plan->element_count());
  std::vector<T> reals = BoundaryReals<T>(T{0.37f}, -90, 120, count);
  for (size_t i = 0; i < count; ++i) {
    T& real = reals[i];
    // Ranges so wide that all codes are equal would prove little, and so would
    // long slices that are all alike.
    if (std::isfinite(real) && std::fabs(real) > 1e6) real = T{77.7f};
    real *= static_cast<T>(1 + PairOf(tensor, i) % 7);
  }
  std::vector<std::vector<std::byte>> storage;
  const Pieces pieces = Cut(reals, piece, storage);
  const Expected<T> expected = ByDefinition(*plan, tensor, reals);

  std::vector<std::byte> codes(plan->code_bytes());
  const auto result =
      Quantize(*plan, pieces, true, execution, absl::MakeSpan(codes));
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->parameters, expected.parameters);
  EXPECT_EQ(result->cuts, expected.cuts);
  for (size_t i = 0; i < count; ++i) {
    ASSERT_EQ(CodeAt(plan->spec(), codes, i), expected.codes[i]) << i;
  }
  if (result->error->element_count != 0) {
    EXPECT_EQ(result->error->mean_squared_error *
                  static_cast<double>(result->error->element_count),
              SquaredErrorByDefinition(reals, expected.back) /
                  static_cast<double>(result->error->element_count) *
                  static_cast<double>(result->error->element_count));
  }

  // Without the error report codes are written directly.
  std::vector<std::byte> direct(codes.size());
  const auto unmeasured =
      Quantize(*plan, pieces, false, execution, absl::MakeSpan(direct));
  ASSERT_TRUE(unmeasured.ok()) << unmeasured.status();
  EXPECT_EQ(direct, codes);
  EXPECT_EQ(unmeasured->parameters, expected.parameters);
  EXPECT_EQ(unmeasured->cuts, expected.cuts);

  std::vector<T> back(count);
  std::vector<std::byte> mask((count + 7) / 8);
  const auto fake = FakeQuantize(
      *plan, pieces, true, execution,
      {reinterpret_cast<std::byte*>(back.data()), count * sizeof(T)},
      absl::MakeSpan(mask));
  ASSERT_TRUE(fake.ok()) << fake.status();
  EXPECT_EQ(fake->cuts, expected.cuts);
  EXPECT_EQ(fake->error, result->error);
  EXPECT_EQ(back, expected.back);
  for (size_t i = 0; i < count; ++i) {
    ASSERT_EQ((std::to_integer<int>(mask[i / 8]) >> i % 8 & 1) != 0,
              expected.mask[i])
        << i;
  }

  // What was found dynamically gives the same codes statically, without error
  // and directly too.
  const auto fixed =
      QuantizePlan::Static(result->parameters, dtype, tensor.shape, kPairsMax);
  ASSERT_TRUE(fixed.ok()) << fixed.status();
  std::vector<std::byte> again(codes.size());
  const auto repeated =
      Quantize(*fixed, pieces, false, execution, absl::MakeSpan(again));
  ASSERT_TRUE(repeated.ok()) << repeated.status();
  EXPECT_EQ(again, codes);
  EXPECT_EQ(repeated->cuts, expected.cuts);
  EXPECT_EQ(repeated->parameters, result->parameters);

  std::vector<std::vector<std::byte>> code_storage;
  const Pieces code_pieces = Cut(codes, piece, code_storage);
  std::vector<T> dequantized(count);
  const absl::Status status = Dequantize(
      *fixed, code_pieces, dtype, execution,
      {reinterpret_cast<std::byte*>(dequantized.data()), count * sizeof(T)});
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(dequantized, expected.back);
  const auto measured = MeasureError({dtype, tensor.shape, pieces}, *fixed,
                                     code_pieces, execution);
  ASSERT_TRUE(measured.ok()) << measured.status();
  EXPECT_EQ(*measured, *result->error);
}

class QuantizeAnyTensor : public testing::TestWithParam<TensorCase> {};

TEST_P(QuantizeAnyTensor, EqualsTheDefinition) {
  struct Setting {
    int threads;
    size_t piece;  // bytes
  };
  for (const Setting& setting :
       {Setting{1, 61}, {5, 4099}, {5, size_t{1} << 40}}) {
    Executor executor({.threads = setting.threads});
    for (const Profile profile :
         {Profile::kOnnx, Profile::kPytorch, Profile::kNotebook}) {
      for (const Scheme scheme : {Scheme::kAsymmetric, Scheme::kSymmetric}) {
        SCOPED_TRACE(testing::Message()
                     << "profile " << static_cast<int>(profile) << ", scheme "
                     << static_cast<int>(scheme) << ", pieces of "
                     << setting.piece);
        Spec spec;
        spec.profile = profile;
        spec.scheme = scheme;
        TryTensor<float>(GetParam(), spec, DataType::kFloat32, executor,
                         setting.piece);
        spec.bits = 5;
        spec.packing = Packing::kDense;
        spec.clamp = ClampRange{-20, std::nullopt};
        TryTensor<float>(GetParam(), spec, DataType::kFloat32, executor,
                         setting.piece);
        spec.bits = 19;
        TryTensor<double>(GetParam(), spec, DataType::kFloat64, executor,
                          setting.piece);
        if (HasFatalFailure()) return;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Tensors, QuantizeAnyTensor,
                         testing::ValuesIn(TensorCases()));

// Groups shorter than a vector, of whole vectors, and between; those that
// divide a block and those that cross its end.
TEST(QuantizeGroups, OfEveryLengthEqualTheDefinition) {
  Executor executor({.threads = 3});
  for (const int64_t length :
       {1, 2, 16, 31, 32, 33, 64, 100, 128, 129, 512, 1000, 2048, 8192}) {
    // With a shorter group at the end, and without.
    for (const int64_t count : {int64_t{70001}, 70001 / length * length}) {
      const TensorCase tensor = {{count}, {Kind::kGroup, 0, length}};
      for (const size_t piece : {size_t{4099}, size_t{100003}}) {
        SCOPED_TRACE(testing::Message() << count << " in groups of " << length
                                        << ", pieces of " << piece);
        TryTensor<float>(tensor, Spec(), DataType::kFloat32, executor, piece);
        TryTensor<double>(tensor, Spec(), DataType::kFloat64, executor, piece);
        if (testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

class QuantizeRefusals : public testing::Test {
 protected:
  absl::StatusOr<QuantizeResult> Run(const Spec& spec,
                                     const std::vector<float>& reals) {
    const auto plan =
        QuantizePlan::Dynamic(spec, DataType::kFloat32,
                              {static_cast<int64_t>(reals.size())}, kPairsMax);
    if (!plan.ok()) return plan.status();
    std::vector<std::byte> codes(plan->code_bytes());
    return Quantize(*plan,
                    Pieces({reinterpret_cast<const std::byte*>(reals.data()),
                            reals.size() * sizeof(float)}),
                    false, {executor_, never_}, absl::MakeSpan(codes));
  }

  Executor executor_{{.threads = 4}};
  const Cancellation never_;
};

TEST_F(QuantizeRefusals, NamesTheFirstNonFiniteRealAndCountsThem) {
  std::vector<float> reals(200000, 1);
  reals[199999] = std::numeric_limits<float>::quiet_NaN();
  reals[70001] = -std::numeric_limits<float>::infinity();
  reals[150000] = std::numeric_limits<float>::infinity();
  for (const Granularity& granularity :
       {Granularity{}, Granularity{Kind::kGroup, 0, 32},
        Granularity{Kind::kGroup, 0, 100}}) {
    SCOPED_TRACE(granularity.group_size);
    Spec spec;
    spec.granularity = granularity;
    const absl::Status status = Run(spec, reals).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(FieldPath(status), "data");
    EXPECT_THAT(std::string(status.message()),
                StartsWith("data: 3 elements are NaN or infinite, the first at "
                           "index 70001"));
  }
}

TEST_F(QuantizeRefusals, AnInfinityThatTheClampBoundsIsNotOne) {
  Spec spec;
  spec.clamp = ClampRange{std::nullopt, 2};
  const float infinity = std::numeric_limits<float>::infinity();
  const auto result = Run(spec, {1, infinity});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->cuts.clamped_count, 1u);
  // It takes no part in the range: that is [0, 1].
  EXPECT_EQ(result->parameters.scale[0], static_cast<double>(1.0f / 255));
  EXPECT_FALSE(Run(spec, {1, -infinity}).ok());
}

TEST_F(QuantizeRefusals, TooManyPairsBeforeAnyAllocation) {
  Spec spec;
  spec.granularity = {Kind::kAxis, 0, 0};
  const absl::Status status =
      QuantizePlan::Dynamic(spec, DataType::kFloat32, {int64_t{1} << 40, 0},
                            kPairsMax)
          .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(QuantizeRefusals, SizesThatDoNotFit) {
  const auto plan =
      QuantizePlan::Dynamic(Spec(), DataType::kFloat32, {4}, kPairsMax);
  std::vector<std::byte> reals(16);
  std::vector<std::byte> codes(3);
  EXPECT_THAT(std::string(Quantize(*plan, Pieces(reals), false,
                                   {executor_, never_}, absl::MakeSpan(codes))
                              .status()
                              .message()),
              StartsWith("codes: 3 bytes; must be 4"));
  EXPECT_THAT(
      std::string(Quantize(*plan, Pieces(codes), false, {executor_, never_}, {})
                      .status()
                      .message()),
      StartsWith("data: 3 bytes; must be 16"));
}

TEST_F(QuantizeRefusals, CodesAndPaddingOutOfRange) {
  Parameters parameters;
  parameters.spec.bits = 4;
  parameters.scale = {1};
  parameters.zero_point = {0};
  const auto dequantize = [&](std::vector<uint8_t> codes, int64_t count) {
    const auto plan = QuantizePlan::Static(parameters, DataType::kFloat32,
                                           {count}, kPairsMax);
    std::vector<float> reals(static_cast<size_t>(count));
    return std::string(
        Dequantize(*plan,
                   Pieces({reinterpret_cast<const std::byte*>(codes.data()),
                           codes.size()}),
                   DataType::kFloat32, {executor_, never_},
                   {reinterpret_cast<std::byte*>(reals.data()),
                    reals.size() * sizeof(float)})
            .message());
  };
  EXPECT_EQ(dequantize({0, 15}, 2), "");
  EXPECT_THAT(dequantize({0, 16}, 2),
              StartsWith("codes: the code at index 1 is out of range; must be "
                         "in [0, 15]"));
  parameters.spec.packing = Packing::kDense;
  EXPECT_EQ(dequantize({0x21, 0x03}, 3), "");
  EXPECT_THAT(dequantize({0x21, 0x13}, 3), StartsWith("codes: a padding bit"));
  parameters.spec.code_type = CodeType::kInt;
  parameters.spec.narrow_range = true;
  EXPECT_THAT(dequantize({0x81, 0x03}, 3),
              StartsWith("codes: the code at index 1"));
}

TEST(Dequantize, RoundsOnceToTheOutputsType) {
  Executor executor({.threads = 1});
  const Cancellation never;
  // 2^-24 steps of float64: 1 + 2^-11 + 2^-24 is above a tie of float16, but is
  // the tie itself once it has been rounded to float32 on the way.
  Parameters parameters;
  parameters.spec.bits = 32;
  parameters.spec.code_type = CodeType::kInt;
  parameters.scale = {0x1p-30};
  parameters.zero_point = {0};
  const auto plan =
      QuantizePlan::Static(parameters, DataType::kFloat64, {1}, kPairsMax);
  ASSERT_TRUE(plan.ok()) << plan.status();
  const int32_t code = (1 << 30) + (1 << 19) + 1;
  uint16_t half = 0;
  ASSERT_TRUE(Dequantize(*plan,
                         Pieces({reinterpret_cast<const std::byte*>(&code), 4}),
                         DataType::kFloat16, {executor, never},
                         {reinterpret_cast<std::byte*>(&half), 2})
                  .ok());
  EXPECT_EQ(half, 0x3C01);
}

}  // namespace
}  // namespace halfstep

// Tensors that are split between threads give what one thread gives, which
// quantize_test.cc holds to the definition.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "core/quantize.h"
#include "core/strips.h"
#include "tests/core/kernels/boundary_reals.h"

namespace halfstep {
namespace {

using Kind = Granularity::Kind;

constexpr uint64_t kPairsMax = 1 << 22;

struct Tensor {
  Shape shape;
  Granularity granularity;
};

TEST(QuantizeLarge, DoesNotDependOnThreads) {
  Executor executor({.threads = 5});
  const Cancellation never;
  for (const Tensor& tensor :
       std::vector<Tensor>{{{1'300'001}, {}},
                           {{1300, 1001}, {Kind::kAxis, 0, 0}},
                           {{1001, 1300}, {Kind::kAxis, 1, 0}},
                           {{1300, 1001}, {Kind::kGroup, 1, 32}},
                           {{1300, 1024}, {Kind::kGroup, 1, 32}},
                           {{3, 450'001}, {Kind::kGroup, 1, 20'000}}}) {
    for (const bool measures : {false, true}) {
      Spec spec;
      spec.granularity = tensor.granularity;
      const auto plan = QuantizePlan::Dynamic(spec, DataType::kFloat32,
                                              tensor.shape, kPairsMax);
      ASSERT_TRUE(plan.ok()) << plan.status();
      const auto count = static_cast<size_t>(plan->element_count());
      ASSERT_GE(count, 2 * kBlocksTogether * kBlockElements);
      std::vector<float> reals = BoundaryReals<float>(0.37f, -90, 120, count);
      for (float& real : reals) {
        if (!(std::fabs(real) <= 1e6f)) real = 77.7f;
      }
      const Pieces pieces({reinterpret_cast<const std::byte*>(reals.data()),
                           count * sizeof(float)});
      std::vector<std::byte> codes(plan->code_bytes());
      std::vector<std::byte> alone_codes(codes.size());
      const auto result = Quantize(*plan, pieces, measures, {executor, never},
                                   absl::MakeSpan(codes));
      const auto alone =
          Quantize(*plan, pieces, measures, {executor, never, true},
                   absl::MakeSpan(alone_codes));
      ASSERT_TRUE(result.ok()) << result.status();
      ASSERT_TRUE(alone.ok()) << alone.status();
      EXPECT_EQ(codes, alone_codes);
      EXPECT_EQ(result->parameters, alone->parameters);
      EXPECT_EQ(result->cuts, alone->cuts);
      EXPECT_EQ(result->error, alone->error);
      const auto given = QuantizePlan::Static(
          result->parameters, DataType::kFloat32, tensor.shape, kPairsMax);
      ASSERT_TRUE(given.ok()) << given.status();
      const auto dequantized = [&](const Execution& execution) {
        std::vector<std::byte> back(count * sizeof(float));
        EXPECT_TRUE(Dequantize(*given, Pieces(codes), DataType::kFloat32,
                               execution, absl::MakeSpan(back))
                        .ok());
        return back;
      };
      EXPECT_EQ(dequantized({executor, never}),
                dequantized({executor, never, true}));
    }
  }
}

}  // namespace
}  // namespace halfstep

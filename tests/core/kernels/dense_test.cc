// Bit streams of every width, packed and unpacked, bit by bit.
#include "core/kernels/dense.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "tests/core/kernels/every_target.h"

namespace halfstep::kernels {
namespace {

class DenseKernel : public EveryTarget {};

template <typename C>
void TryWidth(CodeKind kind, uint32_t bits) {
  std::mt19937_64 random(bits);
  for (const size_t count : {0u, 1u, 2u, 3u, 5u, 7u, 8u, 9u, 63u, 64u, 65u,
                             127u, 128u, 129u, 515u}) {
    SCOPED_TRACE(testing::Message() << count << " codes of " << bits);
    std::vector<C> codes(count);
    for (C& code : codes) {
      // Sign-extended from `bits` where C is signed.
      const int shift = static_cast<int>(64 - bits);
      code = std::is_signed_v<C>
                 ? static_cast<C>(static_cast<int64_t>(random()) >> shift)
                 : static_cast<C>(random() >> shift);
    }
    std::vector<uint8_t> expected(DenseBytes(count, bits));
    ASSERT_EQ(expected.size(), (count * bits + 7) / 8);
    for (size_t i = 0; i < count; ++i) {
      for (uint32_t k = 0; k < bits; ++k) {
        const size_t bit = i * bits + k;
        const auto one = static_cast<uint64_t>(codes[i]) >> k & 1;
        expected[bit / 8] =
            static_cast<uint8_t>(expected[bit / 8] | one << bit % 8);
      }
    }
    // A byte on either side that must not be touched.
    std::vector<uint8_t> dense(expected.size() + 2, 0xA5);
    PackDense(codes.data(), kind, count, bits, dense.data() + 1);
    ASSERT_EQ(std::vector<uint8_t>(dense.begin() + 1, dense.end() - 1),
              expected);
    ASSERT_EQ(dense.front(), 0xA5);
    ASSERT_EQ(dense.back(), 0xA5);
    std::vector<C> back(count + 1, C{0x5A});
    UnpackDense(expected.data(), count, bits, kind, back.data());
    ASSERT_EQ(std::vector<C>(back.begin(), back.end() - 1), codes);
    ASSERT_EQ(back.back(), C{0x5A});
  }
}

TEST_P(DenseKernel, EveryWidth) {
  for (uint32_t bits = 1; bits <= 8; ++bits) {
    TryWidth<uint8_t>(CodeKind::kU8, bits);
    TryWidth<int8_t>(CodeKind::kI8, bits);
  }
  for (uint32_t bits = 9; bits <= 16; ++bits) {
    TryWidth<uint16_t>(CodeKind::kU16, bits);
    TryWidth<int16_t>(CodeKind::kI16, bits);
  }
  for (uint32_t bits = 17; bits <= 32; ++bits) {
    TryWidth<uint32_t>(CodeKind::kU32, bits);
    TryWidth<int32_t>(CodeKind::kI32, bits);
  }
}

TEST_P(DenseKernel, FourBitsAreOnnxs) {
  // ONNX puts the first of two codes into the lower half of the byte.
  const uint8_t codes[] = {0x1, 0x2, 0x3};
  uint8_t dense[2];
  PackDense(codes, CodeKind::kU8, 3, 4, dense);
  EXPECT_EQ(dense[0], 0x21);
  EXPECT_EQ(dense[1], 0x03);
}

INSTANTIATE_TEST_SUITE_P(Targets, DenseKernel, testing::ValuesIn(SimdTargets()),
                         TargetName);

}  // namespace
}  // namespace halfstep::kernels

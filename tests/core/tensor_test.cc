// Shapes and memory in pieces.
#include "core/tensor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <vector>

#include "core/field_error.h"

namespace halfstep {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kBig = int64_t{1} << 40;

TEST(ElementCount, MultipliesTheDimensions) {
  EXPECT_EQ(*ElementCount({}), 1);  // a scalar
  EXPECT_EQ(*ElementCount({3, 4}), 12);
  EXPECT_EQ(*ElementCount({kBig, 0, 5}), 0);
  EXPECT_EQ(*ElementCount({std::numeric_limits<int64_t>::max()}),
            std::numeric_limits<int64_t>::max());
}

TEST(ElementCount, RefusesWhatIsNoShape) {
  const std::vector<std::pair<Shape, const char*>> cases = {
      {{2, -1}, "shape: dimension 1 is -1; must be 0 or more"},
      {{kBig, kBig}, "overflows"},
      // A zero does not excuse the others.
      {{kBig, 0, kBig}, "overflows"},
      {{1, 1, 1, 1, 1, 1, 1, 1, 1}, "shape: 9 dimensions; must be at most 8"},
  };
  for (const auto& [shape, message] : cases) {
    const absl::Status status = ElementCount(shape).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(message));
    EXPECT_EQ(FieldPath(status), "shape");
  }
}

TEST(CheckTensor, ComparesBytesWithShape) {
  EXPECT_EQ(*CheckTensor(DataType::kFloat16, {3}, 6, "data"), 3);
  const absl::Status status =
      CheckTensor(DataType::kFloat32, {2, 3}, 23, "data").status();
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("data: 23 bytes; must be 6 elements of 4 bytes"));
  // 2^62 elements of 8 bytes would be 0 bytes modulo 2^64 twice over.
  EXPECT_FALSE(
      CheckTensor(DataType::kFloat64, {int64_t{1} << 62}, 0, "data").ok());
}

TEST(Pieces, AreOneStretchOfBytesHoweverCut) {
  std::vector<std::byte> bytes(100);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = std::byte(i);
  for (const std::vector<size_t>& cuts : std::vector<std::vector<size_t>>{
           {100}, {1, 99}, {0, 50, 0, 50, 0}, {33, 33, 34}}) {
    Pieces pieces;
    size_t begin = 0;
    for (const size_t size : cuts) {
      pieces.Append({bytes.data() + begin, size});
      begin += size;
    }
    ASSERT_EQ(pieces.size(), 100u);
    std::byte scratch[100];
    for (size_t offset = 0; offset < 100; ++offset) {
      const size_t here = pieces.ContiguousCount(offset);
      ASSERT_GT(here, 0u);
      for (size_t count = 1; offset + count <= 100; ++count) {
        const std::byte* data = pieces.Contiguous(offset, count, scratch);
        ASSERT_EQ(std::memcmp(data, bytes.data() + offset, count), 0);
        // In place exactly where it can be.
        ASSERT_EQ(data == bytes.data() + offset, count <= here);
      }
    }
    EXPECT_EQ(pieces.ContiguousCount(100), 0u);
  }
}

}  // namespace
}  // namespace halfstep

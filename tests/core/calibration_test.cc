// Calibration states: exact under any split, and nothing else accepted.
#include "core/calibration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "core/calibration_observer.h"
#include "core/field_error.h"

namespace halfstep {
namespace {

template <typename T>
TensorView ViewOf(const std::vector<T>& reals, Shape shape) {
  return {.dtype = sizeof(T) == 8 ? DataType::kFloat64 : DataType::kFloat32,
          .shape = std::move(shape),
          .reals = Pieces({reinterpret_cast<const std::byte*>(reals.data()),
                           reals.size() * sizeof(T)})};
}

CalibrationState Observed(CalibrationObserver& observer,
                          const std::vector<TensorView>& tensors) {
  const Cancellation cancellation;
  for (const TensorView& tensor : tensors) {
    EXPECT_EQ(observer.Observe(tensor, cancellation), absl::OkStatus());
  }
  absl::StatusOr<CalibrationState> state = observer.Finish();
  EXPECT_TRUE(state.ok()) << state.status();
  return *std::move(state);
}

CalibrationState StateOf(const TensorView& tensor,
                         std::optional<int32_t> axis = std::nullopt) {
  CalibrationObserver observer(axis, {});
  return Observed(observer, {tensor});
}

// The definition: docs/numerics.md, section 8, one real at a time.
CalibrationSummary Defined(const std::vector<float>& reals) {
  CalibrationSummary summary;
  std::map<int32_t, uint64_t> buckets;
  for (const float real : reals) {
    if (!std::isfinite(real)) {
      ++summary.non_finite_count;
      continue;
    }
    uint32_t bits;
    std::memcpy(&bits, &real, 4);
    const auto magnitude = static_cast<int32_t>((bits & 0x7FFFFFFF) >> 16);
    ++buckets[std::signbit(real) ? -magnitude : magnitude];
    const double value = real == 0 ? 0.0 : real;
    if (summary.count == 0) summary.min = summary.max = value;
    summary.min = std::min(summary.min, value);
    summary.max = std::max(summary.max, value);
    ++summary.count;
  }
  for (const auto& [key, count] : buckets) {
    summary.buckets.push_back({key, count});
  }
  return summary;
}

// Every kind of float32: normal reals, any pattern of bits, zeros of both
// signs, infinities and NaN.
std::vector<float> ManyKinds(size_t count, std::mt19937_64& random) {
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> reals(count);
  for (float& real : reals) {
    const auto bits = static_cast<uint32_t>(random());
    switch (random() % 8) {
      case 0:
        std::memcpy(&real, &bits, 4);
        break;
      case 1:
        real = bits % 2 == 0 ? 0.0f : -0.0f;
        break;
      default:
        real = normal(random);
    }
  }
  return reals;
}

TEST(Calibration, CountsAsDefined) {
  std::mt19937_64 random(1);
  for (const size_t count : {0u, 1u, 2u, 3u, 4u, 5u, 7u, 100u, 5000u, 70001u}) {
    SCOPED_TRACE(count);
    const std::vector<float> reals = ManyKinds(count, random);
    const CalibrationState state =
        StateOf(ViewOf(reals, {static_cast<int64_t>(count)}));
    ASSERT_EQ(state.summaries.size(), 1u);
    EXPECT_TRUE(state.summaries[0] == Defined(reals));
    EXPECT_EQ(Validate(state), absl::OkStatus());
  }
}

TEST(Calibration, CountsEachIndexOfAnAxisAsDefined) {
  std::mt19937_64 random(2);
  // Rows, short runs that are tiled, long runs, an axis of one.
  for (const Shape& shape : {Shape{5, 300}, Shape{900, 3, 7}, Shape{7, 4, 200},
                             Shape{3, 1, 1000}, Shape{0, 6}, Shape{6, 0}}) {
    for (size_t axis = 0; axis < shape.size(); ++axis) {
      SCOPED_TRACE(axis);
      size_t count = 1;
      size_t inner = 1;
      for (size_t i = 0; i < shape.size(); ++i) {
        count *= static_cast<size_t>(shape[i]);
        if (i > axis) inner *= static_cast<size_t>(shape[i]);
      }
      const auto length = static_cast<size_t>(shape[axis]);
      const std::vector<float> reals = ManyKinds(count, random);
      std::vector<std::vector<float>> per_index(length);
      for (size_t i = 0; i < count; ++i) {
        per_index[i / inner % length].push_back(reals[i]);
      }
      // Counted from the last: the state counts from the first.
      const auto rank = static_cast<int32_t>(shape.size());
      const CalibrationState state =
          StateOf(ViewOf(reals, shape), static_cast<int32_t>(axis) - rank);
      EXPECT_EQ(state.axis, static_cast<int32_t>(axis));
      ASSERT_EQ(state.summaries.size(), length);
      for (size_t i = 0; i < length; ++i) {
        EXPECT_TRUE(state.summaries[i] == Defined(per_index[i])) << i;
      }
      EXPECT_EQ(Validate(state), absl::OkStatus());
    }
  }
}

TEST(Calibration, RoundsFloat64TowardZeroAndKeepsItsExtremes) {
  const double tiny = 0x1p-200;
  const std::vector<double> reals = {
      1 - 0x1p-53, -(1 - 0x1p-53),        1e300, -1e300, tiny,
      -tiny,       std::nextafter(2.0, 0)};
  const CalibrationState state = StateOf(ViewOf(reals, {7}));
  const CalibrationSummary& summary = state.summaries[0];
  EXPECT_EQ(summary.min, -1e300);
  EXPECT_EQ(summary.max, 1e300);
  // Past float32 the largest number; below it zero; the neighbours of 1 and 2
  // stay below them: 0x3F7F is the bucket before 1.0, 0x3FFF that before 2.0.
  EXPECT_THAT(summary.buckets,
              testing::ElementsAre(
                  CalibrationBucket{-0x7F7F, 1}, CalibrationBucket{-0x3F7F, 1},
                  CalibrationBucket{0, 2}, CalibrationBucket{0x3F7F, 1},
                  CalibrationBucket{0x3FFF, 1}, CalibrationBucket{0x7F7F, 1}));
  EXPECT_EQ(Validate(state), absl::OkStatus());
}

// The number: 1,000 random splits, each merged in a random order.
TEST(Calibration, AddsUpToTheWholeForAThousandRandomSplits) {
  std::mt19937_64 random(3);
  const std::vector<float> reals = ManyKinds(20000, random);
  const CalibrationState whole =
      StateOf(ViewOf(reals, {static_cast<int64_t>(reals.size())}));
  for (int repetition = 0; repetition < 1000; ++repetition) {
    SCOPED_TRACE(repetition);
    std::vector<size_t> cuts = {0, reals.size()};
    for (size_t i = random() % 8; i > 0; --i) {
      cuts.push_back(random() % (reals.size() + 1));
    }
    std::sort(cuts.begin(), cuts.end());
    std::vector<CalibrationState> parts;
    for (size_t i = 0; i + 1 < cuts.size(); ++i) {
      const std::vector<float> part(
          reals.begin() + static_cast<ptrdiff_t>(cuts[i]),
          reals.begin() + static_cast<ptrdiff_t>(cuts[i + 1]));
      parts.push_back(
          StateOf(ViewOf(part, {static_cast<int64_t>(part.size())})));
    }
    std::shuffle(parts.begin(), parts.end(), random);
    CalibrationState sum = parts[0];
    for (size_t i = 1; i < parts.size(); ++i) {
      ASSERT_EQ(AddState(parts[i], sum), absl::OkStatus());
    }
    ASSERT_TRUE(sum == whole);
  }
}

TEST(Calibration, GoesOnFromAState) {
  std::mt19937_64 random(4);
  const std::vector<float> first = ManyKinds(3 * 50, random);
  const std::vector<float> second = ManyKinds(2 * 50, random);
  std::vector<float> both = first;
  both.insert(both.end(), second.begin(), second.end());
  CalibrationObserver observer(StateOf(ViewOf(first, {3, 50}), 1), {});
  EXPECT_TRUE(Observed(observer, {ViewOf(second, {2, 50})}) ==
              StateOf(ViewOf(both, {5, 50}), 1));
}

TEST(Calibration, HoldsWhatItSaysAndStopsWhenToldTo) {
  // A different exponent for each real: a page of counters each.
  std::vector<float> reals;
  for (int i = -120; i < 120; ++i) reals.push_back(std::ldexp(1.0f, i));
  const Shape shape = {1, 240};
  uint64_t held = 0;
  const auto observe = [&](uint64_t most) {
    CalibrationObserver::Options options;
    options.hold = [&held, most](uint64_t bytes) {
      held = bytes;
      return bytes <= most ? absl::OkStatus()
                           : absl::ResourceExhaustedError("too much");
    };
    CalibrationObserver observer(1, std::move(options));
    const Cancellation cancellation;
    const absl::Status status =
        observer.Observe(ViewOf(reals, shape), cancellation);
    return status.ok() ? observer.Finish().status() : status;
  };
  EXPECT_EQ(observe(uint64_t{1} << 30), absl::OkStatus());
  // Tables of 4 KiB per index and a slab of 1 MiB; not 512 KiB per index.
  EXPECT_LT(held, 240 * 4200 + (1 << 20) + 240 * 64);
  EXPECT_TRUE(absl::IsResourceExhausted(observe(1 << 20)));
}

TEST(Calibration, RefusesTensorsThatDoNotFit) {
  const std::vector<float> reals(12, 1);
  const Cancellation cancellation;
  CalibrationObserver observer(1, {.summaries_max = 4, .hold = nullptr});
  EXPECT_EQ(FieldPath(observer.Observe(ViewOf(reals, {12}), cancellation)),
            "shape");
  CalibrationObserver other(1, {.summaries_max = 4, .hold = nullptr});
  EXPECT_EQ(other.Observe(ViewOf(reals, {3, 4}), cancellation),
            absl::OkStatus());
  EXPECT_EQ(FieldPath(other.Observe(ViewOf(reals, {4, 3}), cancellation)),
            "shape");
  CalibrationObserver many(1, {.summaries_max = 4, .hold = nullptr});
  EXPECT_TRUE(absl::IsResourceExhausted(
      many.Observe(ViewOf(reals, {2, 6}), cancellation)));
  CalibrationObserver nothing(0, {});
  EXPECT_EQ(FieldPath(nothing.Finish().status()), "axis");
}

// One fault each; the path is the API's.
TEST(Calibration, ValidateNamesTheFault) {
  CalibrationState valid = EmptyCalibrationState();
  valid.summaries[0] = {.count = 5,
                        .min = -1,
                        .max = 2.5,
                        .non_finite_count = 1,
                        .buckets = {{-0x3F80, 2}, {0, 1}, {0x4020, 2}}};
  ASSERT_EQ(Validate(valid), absl::OkStatus());
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  struct Fault {
    std::function<void(CalibrationSummary&)> apply;
    std::string path;
  };
  const std::vector<Fault> faults = {
      {[](auto& s) { s.count = 4; }, "count"},
      {[](auto& s) { s.buckets[1].count = 0; }, "bucket_count[1]"},
      {[](auto& s) { s.buckets[1].count = ~uint64_t{0}; }, "bucket_count[1]"},
      {[](auto& s) { s.buckets[1].key = -0x3F80; }, "bucket_delta[1]"},
      {[](auto& s) { s.buckets[2].key = -1; }, "bucket_delta[2]"},
      {[](auto& s) { s.buckets[2].key = 0x7F80; }, "bucket_delta[2]"},
      {[](auto& s) { s.min = kNan; }, "min"},
      {[](auto& s) { s.max = kInfinity; }, "max"},
      {[](auto& s) { s.min = -0.5; }, "min"},
      {[](auto& s) { s.max = 3; }, "max"},
      {[](auto& s) { s.non_finite_count = ~uint64_t{0}; }, "non_finite_count"},
      {[](auto& s) {
         s = {};
         s.min = 1;
       },
       "min"},
      {[](auto& s) {
         s = {};
         s.max = kNan;
       },
       "max"},
      {[](auto& s) {
         s = {};
         s.count = 2;
         s.min = 1.001;
         s.max = 1;
         s.buckets = {{0x3F80, 2}};
       },
       "min"},
  };
  for (size_t i = 0; i < faults.size(); ++i) {
    CalibrationState state = valid;
    faults[i].apply(state.summaries[0]);
    EXPECT_EQ(FieldPath(Validate(state)), "summaries[0]." + faults[i].path)
        << i;
  }
  CalibrationState two = valid;
  two.summaries.push_back(two.summaries[0]);
  EXPECT_EQ(FieldPath(Validate(two)), "summaries");
  two.axis = 8;
  EXPECT_EQ(FieldPath(Validate(two)), "axis");
}

TEST(Calibration, AddStateRefusesWhatDoesNotAddUp) {
  CalibrationState sum = EmptyCalibrationState();
  CalibrationState per_axis = {.axis = 1, .summaries = {{}, {}}};
  EXPECT_EQ(FieldPath(AddState(per_axis, sum)), "axis");
  CalibrationState three = {.axis = 1, .summaries = {{}, {}, {}}};
  EXPECT_EQ(FieldPath(AddState(per_axis, three)), "summaries");
  CalibrationState full = EmptyCalibrationState();
  full.summaries[0].count = kCalibrationCountMax;
  full.summaries[0].min = full.summaries[0].max = 1;
  full.summaries[0].buckets = {{0x3F80, kCalibrationCountMax}};
  ASSERT_EQ(Validate(full), absl::OkStatus());
  EXPECT_EQ(FieldPath(AddState(full, full)), "summaries[0].count");
}

}  // namespace
}  // namespace halfstep

#include "core/calibration.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/field_error.h"
#include "core/kernels/histogram.h"
#include "core/tensor.h"

namespace halfstep {
namespace {

absl::Status CheckBuckets(const CalibrationSummary& summary) {
  uint64_t total = 0;
  for (size_t i = 0; i < summary.buckets.size(); ++i) {
    const CalibrationBucket& bucket = summary.buckets[i];
    if (std::abs(bucket.key) > kBucketKeyMax) {
      return FieldError(
          absl::StrCat("bucket_delta[", i, "]"),
          absl::StrCat("makes key ", bucket.key, "; must make one in [",
                       -kBucketKeyMax, ", ", kBucketKeyMax, "]"));
    }
    if (i > 0 && bucket.key <= summary.buckets[i - 1].key) {
      return FieldError(absl::StrCat("bucket_delta[", i, "]"),
                        absl::StrCat(bucket.key - summary.buckets[i - 1].key,
                                     "; must be 1 or more"));
    }
    if (bucket.count == 0 || bucket.count > kCalibrationCountMax - total) {
      return FieldError(
          absl::StrCat("bucket_count[", i, "]"),
          absl::StrCat(bucket.count,
                       "; must be 1 or more, and all of them below 2^63"));
    }
    total += bucket.count;
  }
  if (total == summary.count) return absl::OkStatus();
  return FieldError("count",
                    absl::StrCat(summary.count, "; must be ", total,
                                 ", which is what bucket_count adds up to"));
}

absl::Status CheckExtreme(absl::string_view field, double extreme,
                          int32_t key) {
  if (!std::isfinite(extreme)) {
    return FieldError(field, absl::StrCat(extreme, "; must be finite"));
  }
  if (BucketKey(extreme) == key) return absl::OkStatus();
  return FieldError(
      field, absl::StrCat(extreme, " lies in bucket ", BucketKey(extreme),
                          "; must lie in bucket ", key, ", the ",
                          field == "min" ? "first" : "last", " one"));
}

absl::Status CheckSummary(const CalibrationSummary& summary) {
  absl::Status status = CheckBuckets(summary);
  if (!status.ok()) return status;
  if (summary.non_finite_count > kCalibrationCountMax) {
    return FieldError("non_finite_count", absl::StrCat(summary.non_finite_count,
                                                       "; must be below 2^63"));
  }
  if (summary.count == 0) {
    // Written so that NaN is refused as well.
    if (summary.min == 0 && summary.max == 0) return absl::OkStatus();
    return FieldError(summary.min == 0 ? "max" : "min",
                      "set; must be 0 where count is 0");
  }
  status = CheckExtreme("min", summary.min, summary.buckets.front().key);
  if (status.ok()) {
    status = CheckExtreme("max", summary.max, summary.buckets.back().key);
  }
  if (!status.ok() || summary.min <= summary.max) return status;
  return FieldError(
      "min", absl::StrCat(summary.min, "; must be at most max, ", summary.max));
}

absl::Status AddCount(absl::string_view field, uint64_t from, uint64_t& into) {
  if (from > kCalibrationCountMax - into) {
    return FieldError(field, absl::StrCat(from, " more reals than ", into,
                                          "; must stay below 2^63 together"));
  }
  into += from;
  return absl::OkStatus();
}

}  // namespace

CalibrationState EmptyCalibrationState() {
  return {.axis = std::nullopt, .summaries = {CalibrationSummary()}};
}

int32_t BucketKey(double real) {
  float rounded;
  kernels::RoundTowardZero(&real, 1, &rounded);
  const uint32_t bits = std::bit_cast<uint32_t>(rounded);
  const auto magnitude = static_cast<int32_t>(bits >> 16 & 0x7FFF);
  return bits >> 31 != 0 ? -magnitude : magnitude;
}

double BucketStart(int32_t key) {
  const double magnitude =
      std::bit_cast<float>(static_cast<uint32_t>(std::abs(key)) << 16);
  return key < 0 ? -magnitude : magnitude;
}

absl::Status Validate(const CalibrationState& state) {
  if (state.axis.has_value()) {
    if (*state.axis < 0 || *state.axis >= static_cast<int32_t>(kRankMax)) {
      return FieldError("axis", absl::StrCat(*state.axis, "; must be in [0, ",
                                             kRankMax, ")"));
    }
  } else if (state.summaries.size() != 1) {
    return FieldError("summaries",
                      absl::StrCat(state.summaries.size(),
                                   " given; must be 1 where there is no axis"));
  }
  for (size_t i = 0; i < state.summaries.size(); ++i) {
    const absl::Status status = CheckSummary(state.summaries[i]);
    if (!status.ok()) {
      return UnderField(absl::StrCat("summaries[", i, "]"), status);
    }
  }
  return absl::OkStatus();
}

absl::Status AddSummary(const CalibrationSummary& from,
                        CalibrationSummary& into) {
  if (from.count != 0) {
    into.min = into.count == 0 ? from.min : std::min(into.min, from.min);
    into.max = into.count == 0 ? from.max : std::max(into.max, from.max);
  }
  absl::Status status = AddCount("count", from.count, into.count);
  if (status.ok()) {
    status = AddCount("non_finite_count", from.non_finite_count,
                      into.non_finite_count);
  }
  if (!status.ok()) return status;
  std::vector<CalibrationBucket> sum;
  sum.reserve(std::max(from.buckets.size(), into.buckets.size()));
  auto a = from.buckets.begin();
  auto b = into.buckets.begin();
  while (a != from.buckets.end() && b != into.buckets.end()) {
    if (a->key == b->key) {
      sum.push_back({a->key, a->count + b->count});
      ++a;
      ++b;
    } else {
      sum.push_back(a->key < b->key ? *a++ : *b++);
    }
  }
  sum.insert(sum.end(), a, from.buckets.end());
  sum.insert(sum.end(), b, into.buckets.end());
  into.buckets = std::move(sum);
  return absl::OkStatus();
}

absl::Status AddState(const CalibrationState& from, CalibrationState& into) {
  if (from.axis != into.axis) {
    const auto name = [](const std::optional<int32_t>& axis) {
      return axis.has_value() ? absl::StrCat(*axis) : std::string("not set");
    };
    return FieldError(
        "axis", absl::StrCat(name(from.axis), "; must be ", name(into.axis),
                             " as in the first state"));
  }
  if (from.summaries.size() != into.summaries.size()) {
    return FieldError(
        "summaries",
        absl::StrCat(from.summaries.size(), " given; must be ",
                     into.summaries.size(), " as in the first state"));
  }
  for (size_t i = 0; i < from.summaries.size(); ++i) {
    const absl::Status status =
        AddSummary(from.summaries[i], into.summaries[i]);
    if (!status.ok()) {
      return UnderField(absl::StrCat("summaries[", i, "]"), status);
    }
  }
  return absl::OkStatus();
}

}  // namespace halfstep

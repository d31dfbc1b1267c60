#include "server/api/calibration_state.h"

#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/field_error.h"

namespace halfstep {
namespace {

absl::StatusOr<CalibrationSummary> FromProto(
    const v1::CalibrationState::Summary& summary) {
  if (summary.bucket_delta_size() != summary.bucket_count_size()) {
    return FieldError(
        "bucket_count",
        absl::StrCat(summary.bucket_count_size(), " given; must be ",
                     summary.bucket_delta_size(), ", as many as bucket_delta"));
  }
  CalibrationSummary result;
  result.count = summary.count();
  // The sum of -0.0 and 0.0 is 0.0.
  result.min = summary.min() + 0.0;
  result.max = summary.max() + 0.0;
  result.non_finite_count = summary.non_finite_count();
  result.buckets.reserve(static_cast<size_t>(summary.bucket_delta_size()));
  int64_t key = 0;
  for (int i = 0; i < summary.bucket_delta_size(); ++i) {
    const int64_t delta = summary.bucket_delta(i);
    key += delta;
    if (std::abs(key) > kBucketKeyMax) {
      return FieldError(
          absl::StrCat("bucket_delta[", i, "]"),
          absl::StrCat(delta, " makes key ", key, "; must make one in [",
                       -kBucketKeyMax, ", ", kBucketKeyMax, "]"));
    }
    result.buckets.push_back(
        {static_cast<int32_t>(key), summary.bucket_count(i)});
  }
  return result;
}

}  // namespace

absl::StatusOr<CalibrationState> FromProto(const v1::CalibrationState& state,
                                           uint64_t summaries_max) {
  if (state.format_version() != kCalibrationFormatVersion) {
    return FieldError("format_version",
                      absl::StrCat(state.format_version(), "; must be ",
                                   kCalibrationFormatVersion));
  }
  if (static_cast<uint64_t>(state.summaries_size()) > summaries_max) {
    return LimitError("summaries", absl::StrCat(state.summaries_size(),
                                                "; must be at most "
                                                "max_calibration_summaries, ",
                                                summaries_max));
  }
  CalibrationState result;
  if (state.has_axis()) result.axis = state.axis();
  result.summaries.reserve(static_cast<size_t>(state.summaries_size()));
  for (int i = 0; i < state.summaries_size(); ++i) {
    absl::StatusOr<CalibrationSummary> summary = FromProto(state.summaries(i));
    if (!summary.ok()) {
      return UnderField(absl::StrCat("summaries[", i, "]"), summary.status());
    }
    result.summaries.push_back(*std::move(summary));
  }
  if (absl::Status valid = Validate(result); !valid.ok()) return valid;
  return result;
}

void ToProto(const CalibrationState& state, v1::CalibrationState& out) {
  out.set_format_version(kCalibrationFormatVersion);
  if (state.axis.has_value()) out.set_axis(*state.axis);
  for (const CalibrationSummary& summary : state.summaries) {
    v1::CalibrationState::Summary& to = *out.add_summaries();
    to.set_count(summary.count);
    to.set_min(summary.min);
    to.set_max(summary.max);
    to.set_non_finite_count(summary.non_finite_count);
    const auto count = static_cast<int>(summary.buckets.size());
    to.mutable_bucket_delta()->Reserve(count);
    to.mutable_bucket_count()->Reserve(count);
    int32_t key = 0;
    for (const CalibrationBucket& bucket : summary.buckets) {
      to.add_bucket_delta(bucket.key - std::exchange(key, bucket.key));
      to.add_bucket_count(bucket.count);
    }
  }
}

uint64_t BytesOf(const CalibrationState& state) {
  uint64_t bytes = 0;
  for (const CalibrationSummary& summary : state.summaries) {
    bytes +=
        sizeof(summary) + summary.buckets.size() * sizeof(CalibrationBucket);
  }
  return bytes;
}

}  // namespace halfstep

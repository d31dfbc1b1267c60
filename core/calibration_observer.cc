#include "core/calibration_observer.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/field_error.h"
#include "core/kernels/histogram.h"
#include "core/kernels/statistics.h"

namespace halfstep {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The largest number that a counter holds.
constexpr uint64_t kCounterMax = std::numeric_limits<uint32_t>::max();

// `count` reals as float32 for the histogram: FLOAT64 rounded toward zero.
const float* ForHistogram(const float* reals, size_t, Scratch&) {
  return reals;
}
const float* ForHistogram(const double* reals, size_t count, Scratch& scratch) {
  auto* rounded = reinterpret_cast<float*>(scratch.narrowed);
  kernels::RoundTowardZero(reals, count, rounded);
  return rounded;
}

// Adds `count` reals with the upper half `half`.
void AddHalf(uint32_t half, uint64_t count, CalibrationSummary& counted) {
  if (count == 0) return;
  const auto magnitude = static_cast<int32_t>(half & 0x7FFF);
  if (magnitude > kBucketKeyMax) {
    counted.non_finite_count += count;
    return;
  }
  counted.count += count;
  const int32_t key = half > 0x7FFF ? -magnitude : magnitude;
  if (!counted.buckets.empty() && counted.buckets.back().key == key) {
    counted.buckets.back().count += count;  // both zeros
  } else {
    counted.buckets.push_back({key, count});
  }
}

// Calls visit(half) for every upper half, in the order of the keys.
template <typename Visit>
void ForEachHalf(const Visit& visit) {
  for (uint32_t half = 0xFFFF; half >= 0x8000; --half) visit(half);
  for (uint32_t half = 0; half < 0x8000; ++half) visit(half);
}

}  // namespace

CalibrationObserver::CalibrationObserver(CalibrationState state,
                                         Options options)
    : options_(std::move(options)),
      state_(std::move(state)),
      has_length_(true) {}

CalibrationObserver::CalibrationObserver(std::optional<int32_t> axis,
                                         Options options)
    : options_(std::move(options)),
      state_(EmptyCalibrationState()),
      has_length_(!axis.has_value()) {
  state_.axis = axis;
}

absl::Status CalibrationObserver::Hold(uint64_t more) {
  if (options_.hold != nullptr) {
    absl::Status held = options_.hold(held_bytes_ + more);
    if (!held.ok()) return held;
  }
  held_bytes_ += more;
  return absl::OkStatus();
}

absl::Status CalibrationObserver::SetUp(const TensorView& tensor) {
  const auto rank = static_cast<int32_t>(tensor.shape.size());
  size_t summaries = 1;
  if (state_.axis.has_value()) {
    const int32_t axis = *state_.axis;
    if (axis < -rank || axis >= rank) {
      return FieldError("shape", absl::StrCat(rank,
                                              " dimensions; must have "
                                              "axis ",
                                              axis));
    }
    // Resolved by the first tensor for all.
    if (axis < 0) state_.axis = axis + rank;
    summaries =
        static_cast<size_t>(tensor.shape[static_cast<size_t>(*state_.axis)]);
    if (summaries > options_.summaries_max) {
      return LimitError(
          "shape",
          absl::StrCat(summaries, " indices along axis ", *state_.axis,
                       "; must be at most ", "max_calibration_summaries, ",
                       options_.summaries_max));
    }
  }
  if (!has_length_) {
    state_.summaries.assign(summaries, CalibrationSummary());
    has_length_ = true;
  }
  if (state_.summaries.size() != summaries) {
    return FieldError(
        "shape",
        absl::StrCat(summaries, " indices along axis ", *state_.axis,
                     "; must be ", state_.summaries.size(), " as before"));
  }
  if (low_.size() == summaries) return absl::OkStatus();
  const uint64_t table_bytes = state_.axis.has_value()
                                   ? summaries * kPages * sizeof(Page)
                                   : kernels::kUpperHalves * sizeof(uint32_t);
  absl::Status held = Hold(table_bytes + summaries * 4 * sizeof(double));
  if (!held.ok()) return held;
  low_.assign(summaries, kInfinity);
  high_.assign(summaries, -kInfinity);
  if (state_.axis.has_value()) {
    pages_.assign(summaries * kPages, nullptr);
  } else {
    dense_.assign(kernels::kUpperHalves, 0);
  }
  return absl::OkStatus();
}

absl::Status CalibrationObserver::Observe(const TensorView& tensor,
                                          const Cancellation& cancellation) {
  absl::Status status = SetUp(tensor);
  if (!status.ok()) return status;
  Granularity granularity;
  if (state_.axis.has_value()) {
    granularity = {.kind = Granularity::Kind::kAxis, .axis = *state_.axis};
  }
  const SliceLayout layout(granularity, tensor.shape);
  return tensor.dtype == DataType::kFloat64
             ? ObserveAs<double>(tensor, layout, cancellation)
             : ObserveAs<float>(tensor, layout, cancellation);
}

template <typename T>
absl::Status CalibrationObserver::ObserveAs(const TensorView& tensor,
                                            const SliceLayout& layout,
                                            const Cancellation& cancellation) {
  Scratch& scratch = Scratch::Get();
  Ranges<T> ranges;
  ranges.Reset(layout.slot_count());
  summary_of_slot_.resize(layout.slot_count());
  for (size_t slot = 0; slot < summary_of_slot_.size(); ++slot) {
    summary_of_slot_[slot] = static_cast<uint32_t>(layout.PairOfSlot(slot));
  }
  const size_t size = ByteSize(tensor.dtype);
  const size_t end = tensor.reals.size() / size;
  for (size_t first = 0; first < end;) {
    if (first % kBlockElements < kStripElements) {
      absl::Status wanted = cancellation.Check();
      if (!wanted.ok()) return wanted;
    }
    const Strip strip = StripOf(tensor.reals, size, first,
                                std::min(end - first, kStripElements), scratch);
    if (strip.count > kCounterMax - unfolded_) {
      KeepExtremes(ranges);
      absl::Status folded = Fold();
      if (!folded.ok()) return folded;
    }
    scratch.runs.clear();
    layout.AppendRuns(first, strip.count, /*base=*/0, scratch.runs);
    const T* reals =
        Widened<T>(tensor.dtype, strip.data, strip.count, scratch.widened);
    kernels::WidenRanges(reals, {scratch.runs.data(), scratch.runs.size()},
                         ranges.low.data(), ranges.high.data());
    absl::Status counted =
        Count(ForHistogram(reals, strip.count, scratch), scratch.runs);
    if (!counted.ok()) return counted;
    unfolded_ += strip.count;
    first += strip.count;
  }
  KeepExtremes(ranges);
  return absl::OkStatus();
}

template <typename T>
void CalibrationObserver::KeepExtremes(Ranges<T>& ranges) {
  for (size_t slot = 0; slot < ranges.low.size(); ++slot) {
    const size_t i = summary_of_slot_[slot];
    low_[i] = std::min(low_[i], static_cast<double>(ranges.low[slot]));
    high_[i] = std::max(high_[i], static_cast<double>(ranges.high[slot]));
  }
}

absl::Status CalibrationObserver::Count(const float* reals,
                                        const std::vector<kernels::Run>& runs) {
  const auto* real = reinterpret_cast<const std::byte*>(reals);
  for (const kernels::Run& run : runs) {
    if (!state_.axis.has_value()) {
      kernels::CountUpperHalves(reinterpret_cast<const float*>(real),
                                run.elements(), dense_.data());
      real += run.elements() * sizeof(float);
      continue;
    }
    for (size_t time = 0; time < run.times; ++time) {
      for (size_t i = 0; i < run.count; ++i, real += sizeof(float)) {
        const absl::Status counted =
            CountOne(reinterpret_cast<const float*>(real),
                     summary_of_slot_[run.pair + time + i * run.step]);
        if (!counted.ok()) return counted;
      }
    }
  }
  return absl::OkStatus();
}

inline absl::Status CalibrationObserver::CountOne(const float* real,
                                                  size_t index) {
  uint32_t bits;
  std::memcpy(&bits, real, sizeof(bits));
  const uint32_t half = bits >> 16;
  Page& page = pages_[index * kPages + half / kPageKeys];
  if (page == nullptr) {
    absl::StatusOr<Page> made = NewPage();
    if (!made.ok()) return made.status();
    page = *made;
  }
  ++page[half % kPageKeys];
  return absl::OkStatus();
}

absl::StatusOr<CalibrationObserver::Page> CalibrationObserver::NewPage() {
  if (slab_pages_used_ == kSlabPages) {
    absl::Status held = Hold(kSlabBytes);
    if (!held.ok()) return held;
    slabs_.push_back(std::make_unique<uint32_t[]>(kSlabPages * kPageKeys));
    slab_pages_used_ = 0;
  }
  return slabs_.back().get() + slab_pages_used_++ * kPageKeys;
}

CalibrationSummary CalibrationObserver::TakeCounted(size_t index) {
  CalibrationSummary counted;
  if (!state_.axis.has_value()) {
    ForEachHalf([&](uint32_t half) {
      AddHalf(half, std::exchange(dense_[half], 0), counted);
    });
  } else {
    const Page* pages = pages_.data() + index * kPages;
    ForEachHalf([&](uint32_t half) {
      const Page page = pages[half / kPageKeys];
      if (page == nullptr) return;
      AddHalf(half, std::exchange(page[half % kPageKeys], 0), counted);
    });
  }
  if (counted.count != 0) {
    counted.min = low_[index] + 0.0;  // the sum of -0.0 and 0.0 is 0.0
    counted.max = high_[index] + 0.0;
  }
  return counted;
}

absl::Status CalibrationObserver::Fold() {
  unfolded_ = 0;
  if (low_.empty()) return absl::OkStatus();
  for (size_t i = 0; i < state_.summaries.size(); ++i) {
    const CalibrationSummary counted = TakeCounted(i);
    absl::Status status =
        Hold(counted.buckets.size() * sizeof(CalibrationBucket));
    if (status.ok()) status = AddSummary(counted, state_.summaries[i]);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<CalibrationState> CalibrationObserver::Finish() {
  if (!has_length_) {
    return FieldError("axis",
                      absl::StrCat(*state_.axis,
                                   " without a tensor; must come "
                                   "with one, which tells how many indices "
                                   "there are"));
  }
  absl::Status folded = Fold();
  if (!folded.ok()) return folded;
  return std::move(state_);
}

}  // namespace halfstep

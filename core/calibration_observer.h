// Observing: reals in, a CalibrationState out. A shift and an increment per
// real.
#ifndef HALFSTEP_CORE_CALIBRATION_OBSERVER_H_
#define HALFSTEP_CORE_CALIBRATION_OBSERVER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/calibration.h"
#include "core/executor.h"
#include "core/range_pass.h"
#include "core/slice_layout.h"
#include "core/strips.h"
#include "core/tensor.h"

namespace halfstep {

// Used by one thread at a time.
class CalibrationObserver {
 public:
  struct Options {
    uint64_t summaries_max = 4096;
    // Called with the bytes that the observer is about to hold in all, before
    // it holds them. What it returns if not OK ends the observation.
    absl::AnyInvocable<absl::Status(uint64_t bytes)> hold;
  };

  // Goes on from `state`, which is valid.
  CalibrationObserver(CalibrationState state, Options options);

  // Starts with no data: one summary in all, or one per index along `axis`,
  // which may count from the last.
  CalibrationObserver(std::optional<int32_t> axis, Options options);

  // Adds the reals of `tensor`, whose bytes fit its shape.
  //
  // INVALID_ARGUMENT ("shape") if the tensor does not have the axis, or another
  // number of indices along it than those before. RESOURCE_EXHAUSTED if there
  // are more than summaries_max. CANCELLED or DEADLINE_EXCEEDED as
  // `cancellation` says. What was observed is lost after an error.
  absl::Status Observe(const TensorView& tensor,
                       const Cancellation& cancellation);

  // The state of all tensors so far; nothing may be observed afterwards.
  // INVALID_ARGUMENT ("axis") if there is an axis, but no tensor has told how
  // many indices it has; otherwise errors of AddState and `hold`.
  absl::StatusOr<CalibrationState> Finish();

 private:
  // Counters of the keys with one sign and exponent.
  static constexpr size_t kPageKeys = 128;
  static constexpr size_t kPages = 512;
  // Pages that are allocated together: 1 MiB.
  static constexpr size_t kSlabPages = 2048;
  static constexpr size_t kSlabBytes =
      kSlabPages * kPageKeys * sizeof(uint32_t);
  using Page = uint32_t*;

  absl::Status SetUp(const TensorView& tensor);
  absl::Status Hold(uint64_t more);
  template <typename T>
  absl::Status ObserveAs(const TensorView& tensor, const SliceLayout& layout,
                         const Cancellation& cancellation);
  template <typename T>
  void KeepExtremes(Ranges<T>& ranges);
  absl::Status Count(const float* reals, const std::vector<kernels::Run>& runs);
  // One real of summary `index`.
  absl::Status CountOne(const float* real, size_t index);
  absl::StatusOr<Page> NewPage();
  // Moves what the counters hold to the summaries.
  absl::Status Fold();
  CalibrationSummary TakeCounted(size_t index);

  Options options_;
  uint64_t held_bytes_ = 0;
  CalibrationState state_;
  bool has_length_;  // whether the number of summaries is known
  // Whole tensors: kernels::CountUpperHalves' counters. Empty until needed.
  std::vector<uint32_t> dense_;
  // Per axis: kPages pages for each summary, null where nothing was counted.
  std::vector<Page> pages_;
  std::vector<std::unique_ptr<uint32_t[]>> slabs_;
  size_t slab_pages_used_ = kSlabPages;
  // Of each slot of the tensor being observed.
  std::vector<uint32_t> summary_of_slot_;
  // Extremes of each summary's reals seen here; low > high where there are
  // none.
  std::vector<double> low_;
  std::vector<double> high_;
  // Reals counted since the last Fold: no counter can be larger.
  uint64_t unfolded_ = 0;
};

}  // namespace halfstep

#endif  // HALFSTEP_CORE_CALIBRATION_OBSERVER_H_

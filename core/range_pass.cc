#include "core/range_pass.h"

#include <algorithm>

#include "absl/synchronization/mutex.h"
#include "core/kernels/statistics.h"
#include "core/pair_table.h"

namespace halfstep {
namespace {

// Up to so many slots every block has ranges of its own; above, every thread.
constexpr size_t kSlotsPerBlockMax = 4096;
// Bound on the slots that all threads hold together: 64 MiB of float64 ranges.
constexpr size_t kSlotsHeldMax = size_t{1} << 22;

size_t TaskCount(size_t blocks, size_t slots, int threads) {
  if (slots <= kSlotsPerBlockMax) return blocks;
  return std::min({blocks, static_cast<size_t>(threads),
                   std::max<size_t>(1, kSlotsHeldMax / slots)});
}

// Smallest and largest are exact, so the order of merging carries no meaning.
template <typename T>
void Merge(const Ranges<T>& from, Ranges<T>& into) {
  for (size_t i = 0; i < from.low.size(); ++i) {
    into.low[i] = std::min(into.low[i], from.low[i]);
    into.high[i] = std::max(into.high[i], from.high[i]);
  }
}

template <typename T>
Ranges<T> SlotsToPairs(Ranges<T> slots, const SliceLayout& layout,
                       size_t pair_count) {
  if (layout.slots_are_pairs()) return slots;
  Ranges<T> pairs;
  pairs.Reset(pair_count);
  for (size_t slot = 0; slot < slots.low.size(); ++slot) {
    const size_t pair = layout.PairOfSlot(slot);
    pairs.low[pair] = std::min(pairs.low[pair], slots.low[slot]);
    pairs.high[pair] = std::max(pairs.high[pair], slots.high[slot]);
  }
  return pairs;
}

}  // namespace

template <typename T>
void WidenToReals(DataType dtype, const SliceLayout& layout,
                  const Pieces& reals, size_t first, size_t end, size_t base,
                  Scratch& scratch, Ranges<T>& ranges) {
  // As long as slices are, between these two: a strip has few runs.
  const size_t strip_max =
      ByteSize(dtype) == sizeof(T)
          ? std::clamp(layout.slice_elements_max() / 8 * 8, kStripElements,
                       kDirectStripElements)
          : kStripElements;
  while (first < end) {
    const Strip strip = StripOf(reals, ByteSize(dtype), first,
                                std::min(end - first, strip_max), scratch);
    scratch.runs.clear();
    layout.AppendRuns(first, strip.count, base, scratch.runs);
    kernels::WidenRanges(
        Widened<T>(dtype, strip.data, strip.count, scratch.widened),
        {scratch.runs.data(), scratch.runs.size()}, ranges.low.data(),
        ranges.high.data());
    first += strip.count;
  }
}

template <typename T>
absl::StatusOr<ChosenPairs<T>> ChooseFromReals(const QuantizePlan& plan,
                                               const SliceLayout& layout,
                                               const Pieces& reals,
                                               const Execution& execution) {
  const auto count = static_cast<size_t>(plan.element_count());
  const size_t blocks = (count + kBlockElements - 1) / kBlockElements;
  const size_t tasks =
      TaskCount(blocks, layout.slot_count(), execution.threads());
  Ranges<T> total;
  total.Reset(layout.slot_count());
  absl::Mutex mutex;
  const size_t together = tasks == blocks ? kBlocksTogether : 1;
  const absl::Status status =
      execution.ForEach(tasks, together, [&](size_t task) {
        Ranges<T> ranges;
        ranges.Reset(layout.slot_count());
        const size_t last = (task + 1) * blocks / tasks;
        for (size_t block = task * blocks / tasks; block < last; ++block) {
          if (!execution.cancellation.Check().ok()) return;
          WidenToReals(plan.dtype(), layout, reals, block * kBlockElements,
                       std::min(count, (block + 1) * kBlockElements),
                       /*base=*/0, Scratch::Get(), ranges);
        }
        const absl::MutexLock lock(&mutex);
        Merge(ranges, total);
      });
  if (!status.ok()) return status;
  // A task may have stopped in its middle without ForEach having seen it.
  const absl::Status stopped = execution.cancellation.Check();
  if (!stopped.ok()) return stopped;

  const kernels::RangeRule<T> rule = RuleOf<T>(plan.spec());
  const Ranges<T> pairs =
      SlotsToPairs(std::move(total), layout, plan.pair_count());
  ChosenPairs<T> chosen;
  chosen.Reset(plan.pair_count(), rule.symmetric);
  kernels::ChooseParameters(
      rule, pairs.low.data(), pairs.high.data(), plan.pair_count(),
      chosen.scale.data(), rule.symmetric ? nullptr : chosen.zero_point.data());
  return chosen;
}

template <typename T>
absl::StatusOr<ChosenPairs<T>> ChooseSlices(const QuantizePlan& plan,
                                            const SliceLayout& layout,
                                            const Pieces& reals,
                                            size_t first_slot, size_t end_slot,
                                            const Execution& execution) {
  const kernels::RangeRule<T> rule = RuleOf<T>(plan.spec());
  ChosenPairs<T> chosen;
  if (first_slot >= end_slot) return chosen;
  chosen.Reset(end_slot - first_slot, rule.symmetric);
  // Slices of about a block together are one task; none is split.
  const size_t per_task =
      std::max<size_t>(1, kBlockElements / layout.slice_elements_max());
  const size_t tasks = (end_slot - first_slot + per_task - 1) / per_task;
  const absl::Status status =
      execution.ForEach(tasks, kBlocksTogether, [&](size_t task) {
        const size_t first = first_slot + task * per_task;
        const size_t end = std::min(end_slot, first + per_task);
        Ranges<T> ranges;
        ranges.Reset(end - first);
        WidenToReals(plan.dtype(), layout, reals, layout.BeginOfSlot(first),
                     layout.SliceAt(layout.BeginOfSlot(end - 1)).end, first,
                     Scratch::Get(), ranges);
        const size_t at = first - first_slot;
        kernels::ChooseParameters(
            rule, ranges.low.data(), ranges.high.data(), end - first,
            chosen.scale.data() + at,
            rule.symmetric ? nullptr : chosen.zero_point.data() + at);
      });
  if (!status.ok()) return status;
  return chosen;
}

template void WidenToReals<float>(DataType, const SliceLayout&, const Pieces&,
                                  size_t, size_t, size_t, Scratch&,
                                  Ranges<float>&);
template void WidenToReals<double>(DataType, const SliceLayout&, const Pieces&,
                                   size_t, size_t, size_t, Scratch&,
                                   Ranges<double>&);
template absl::StatusOr<ChosenPairs<float>> ChooseFromReals<float>(
    const QuantizePlan&, const SliceLayout&, const Pieces&, const Execution&);
template absl::StatusOr<ChosenPairs<double>> ChooseFromReals<double>(
    const QuantizePlan&, const SliceLayout&, const Pieces&, const Execution&);

template absl::StatusOr<ChosenPairs<float>> ChooseSlices<float>(
    const QuantizePlan&, const SliceLayout&, const Pieces&, size_t, size_t,
    const Execution&);
template absl::StatusOr<ChosenPairs<double>> ChooseSlices<double>(
    const QuantizePlan&, const SliceLayout&, const Pieces&, size_t, size_t,
    const Execution&);

}  // namespace halfstep

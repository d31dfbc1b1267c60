// What a stream has been sent: pieces of a tensor, and pairs of scale and zero
// point that they need.
#ifndef HALFSTEP_CORE_STREAM_INPUT_H_
#define HALFSTEP_CORE_STREAM_INPUT_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/field_error.h"
#include "core/pair_store.h"
#include "core/tensor_stream.h"

namespace halfstep {

// T is the arithmetic's type. Used by one thread at a time.
template <typename T>
class StreamInput {
 public:
  // `plan` outlives the input. `pairs_given`: they come by AddPairs, each
  // before the elements that need it.
  StreamInput(const QuantizePlan& plan, bool pairs_given, StreamedTensor tensor,
              uint64_t pairs_max)
      : plan_(plan),
        pairs_given_(pairs_given && !HasFloatCodes(plan.spec())),
        pairs_max_(pairs_max),
        tensor_(std::move(tensor)),
        pairs_(tensor_.layout()) {}
  StreamInput(const StreamInput&) = delete;
  StreamInput& operator=(const StreamInput&) = delete;

  // As QuantizeStream says.
  absl::Status AddPairs(PairPiece& piece) {
    if (!pairs_given_) {
      return FieldError("scale",
                        "given; must not be where the header has a spec, or "
                        "where codes have no scale");
    }
    const uint64_t left = plan_.pair_count() - pairs_.added();
    if (piece.scale.size() > left) {
      return FieldError("scale", absl::StrCat(piece.scale.size(),
                                              " more given; must be at most ",
                                              left, " for this shape"));
    }
    if (pairs_.held() + piece.scale.size() > pairs_max_) {
      return LimitError(
          "scale",
          absl::StrCat(pairs_.held() + piece.scale.size(),
                       " pairs held at once; must be at most ", pairs_max_));
    }
    const absl::Status valid = ResolvePairs(plan_.spec(), plan_.dtype(),
                                            piece.scale, piece.zero_point);
    if (!valid.ok()) return valid;
    pairs_.template Append<double>(piece.scale, piece.zero_point);
    return absl::OkStatus();
  }

  absl::Status Add(const Pieces& bytes) {
    absl::Status added = tensor_.Add(bytes);
    if (!added.ok() || !pairs_given_) return added;
    const size_t begun = tensor_.begun_elements();
    if (tensor_.layout().PairsBefore(begun) <= pairs_.added()) return added;
    return FieldError(
        tensor_.field(),
        absl::StrCat("reaches element ", begun - 1, " when only ",
                     pairs_.added(),
                     " scales have come; must come after the scale of each "
                     "element"));
  }

  absl::Status End() const {
    absl::Status whole = tensor_.CheckWhole();
    if (!whole.ok() || !pairs_given_ || pairs_.added() == plan_.pair_count()) {
      return whole;
    }
    return FieldError("parameter_piece.scale",
                      absl::StrCat(pairs_.added(), " in all; must be ",
                                   plan_.pair_count(), " for this shape"));
  }

  // `window` is done with, and so are pairs that nothing after it needs.
  void Finish(const Window& window) {
    tensor_.Finish(window);
    if (pairs_.added() == 0 || !tensor_.layout().contiguous()) return;
    const size_t next = window.first + window.count;
    const size_t slot = next == tensor_.element_count()
                            ? pairs_.added()
                            : tensor_.layout().SliceAt(next).slot;
    pairs_.DropBefore(std::min(slot, pairs_.added()));
  }

  // None where codes have none.
  SlotPairs<T> Slots() {
    return HasFloatCodes(plan_.spec()) ? SlotPairs<T>() : pairs_.Slots();
  }

  uint64_t held_bytes() const {
    return tensor_.kept_bytes() + pairs_.held() * (sizeof(T) + sizeof(int32_t));
  }

  StreamedTensor& tensor() { return tensor_; }
  const StreamedTensor& tensor() const { return tensor_; }
  PairStore<T>& pairs() { return pairs_; }

 private:
  const QuantizePlan& plan_;
  const bool pairs_given_;
  const uint64_t pairs_max_;
  StreamedTensor tensor_;
  PairStore<T> pairs_;
};

}  // namespace halfstep

#endif  // HALFSTEP_CORE_STREAM_INPUT_H_

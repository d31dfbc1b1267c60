#include "core/simd.h"

#include <hwy/targets.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace halfstep {
namespace {

// The targets compiled in that the machine supports, lowest bit (best) first.
std::vector<int64_t> TargetBits() {
  return hwy::SupportedAndGeneratedTargets();
}

}  // namespace

std::string SimdTarget() { return hwy::TargetName(TargetBits().front()); }

std::vector<std::string> SimdTargets() {
  std::vector<std::string> names;
  for (const int64_t target : TargetBits()) {
    names.emplace_back(hwy::TargetName(target));
  }
  return names;
}

absl::Status PinSimdTarget(absl::string_view target) {
  hwy::SetSupportedTargetsForTest(0);
  if (!target.empty()) {
    int64_t pinned = 0;
    for (const int64_t bit : TargetBits()) {
      if (target == hwy::TargetName(bit)) pinned = bit;
    }
    if (pinned == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("simd target: ", target, "; must be one of ",
                       absl::StrJoin(SimdTargets(), ", ")));
    }
    hwy::SetSupportedTargetsForTest(pinned);
  }
  // Dispatch tables look at this once.
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  return absl::OkStatus();
}

}  // namespace halfstep

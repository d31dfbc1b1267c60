// Which instruction set the kernels use.
#ifndef HALFSTEP_CORE_SIMD_H_
#define HALFSTEP_CORE_SIMD_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace halfstep {

// The target in use, as Highway names it: "AVX3", "AVX2", "NEON", "Scalar", ...
std::string SimdTarget();

// Every target that this build and this machine have, best first.
std::vector<std::string> SimdTargets();

// Uses `target` from now on, for tests: results must not depend on it. An empty
// name goes back to the best. INVALID_ARGUMENT if the machine lacks it. Not
// thread-safe: call it before any kernel runs.
absl::Status PinSimdTarget(absl::string_view target);

}  // namespace halfstep

#endif  // HALFSTEP_CORE_SIMD_H_

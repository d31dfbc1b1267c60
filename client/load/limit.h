// The search for the highest rate at which a server still answers in time.
#ifndef HALFSTEP_CLIENT_LOAD_LIMIT_H_
#define HALFSTEP_CLIENT_LOAD_LIMIT_H_

#include <functional>
#include <optional>

#include "absl/time/time.h"
#include "client/load/step.h"

namespace halfstep::load {

struct LimitOptions {
  // What p99 must stay below.
  absl::Duration p99_below;
  // Tries at most.
  int steps_max = 16;
  // The rate to try first; 0: half of what a closed loop reaches.
  double first_rate = 0;
};

struct Limit {
  // The highest rate that was tried and kept; none if even the lowest did not.
  std::optional<double> rate;
  // The lowest rate that was tried and not kept; none if all were.
  std::optional<double> too_high;
  // Whether it was the client that could not go on at `too_high`.
  bool client_was_bottleneck = false;
  // Whether the two are within kLimitPrecision of each other.
  bool settled = false;
  // A try was stopped before its time.
  bool stopped = false;
};

// The search ends when too_high is at most this much above rate.
inline constexpr double kLimitPrecision = 0.05;

// Whether the step kept its rate: no failure, p99 below the bound, and at least
// 95 % of the calls answered within the measured time, so that no queue grew.
bool KeepsRate(const StepResult& result, absl::Duration p99_below);

// Doubles `first_rate` > 0 until a rate is too high (or halves it until one is
// not), then goes on in the middle, as ratios go. `run` runs a step.
Limit FindLimit(double first_rate, const LimitOptions& options,
                const std::function<StepResult(double rate)>& run);

}  // namespace halfstep::load

#endif  // HALFSTEP_CLIENT_LOAD_LIMIT_H_

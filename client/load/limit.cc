#include "client/load/limit.h"

#include <algorithm>
#include <cmath>

#include "client/load/results.h"

namespace halfstep::load {
namespace {

// Rates outside are not tried.
constexpr double kRateMin = 0.1;
constexpr double kRateMax = 1e6;
constexpr double kAnsweredShare = 0.95;

// What to try next; 0 if there is nothing left.
double NextRate(const Limit& limit) {
  double rate = 0;
  if (!limit.too_high.has_value()) {
    rate = 2 * *limit.rate;
  } else if (!limit.rate.has_value()) {
    rate = *limit.too_high / 2;
  } else {
    rate = std::sqrt(*limit.rate * *limit.too_high);
  }
  return rate >= kRateMin && rate <= kRateMax ? rate : 0;
}

bool IsSettled(const Limit& limit) {
  return limit.rate.has_value() && limit.too_high.has_value() &&
         *limit.too_high <= *limit.rate * (1 + kLimitPrecision);
}

}  // namespace

bool KeepsRate(const StepResult& result, absl::Duration p99_below) {
  return result.failures.empty() && result.ok > 0 &&
         absl::Nanoseconds(result.latency.Quantile(0.99)) < p99_below &&
         static_cast<double>(result.answered) >=
             kAnsweredShare * static_cast<double>(result.calls);
}

Limit FindLimit(double first_rate, const LimitOptions& options,
                const std::function<StepResult(double rate)>& run) {
  Limit limit;
  double rate = std::clamp(first_rate, kRateMin, kRateMax);
  for (int step = 0; step < options.steps_max && rate > 0; ++step) {
    const StepResult result = run(rate);
    if (result.partial()) {
      limit.stopped = true;
      break;
    }
    if (KeepsRate(result, options.p99_below)) {
      limit.rate = rate;
    } else {
      limit.too_high = rate;
      limit.client_was_bottleneck = !Warnings(result).empty();
    }
    limit.settled = IsSettled(limit);
    if (limit.settled) break;
    rate = NextRate(limit);
  }
  return limit;
}

}  // namespace halfstep::load

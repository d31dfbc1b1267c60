#include "client/load/arrivals.h"

#include <cmath>

namespace halfstep::load {

int64_t Arrivals::Next() {
  if (kind_ == ArrivalKind::kConstant) {
    return std::llround(1e9 * static_cast<double>(count_++) / rate_);
  }
  // A uniform real in [0, 1) of 53 bits, so that 1 - u is never 0.
  const double uniform = static_cast<double>(random_() >> 11) * 0x1p-53;
  seconds_ += -std::log1p(-uniform) / rate_;
  return std::llround(1e9 * seconds_);
}

}  // namespace halfstep::load

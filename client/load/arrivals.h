// When the calls of an open loop are to start, whatever the server does.
#ifndef HALFSTEP_CLIENT_LOAD_ARRIVALS_H_
#define HALFSTEP_CLIENT_LOAD_ARRIVALS_H_

#include <cstdint>
#include <random>

namespace halfstep::load {

enum class ArrivalKind : uint8_t {
  kConstant,  // 1 / rate apart
  kPoisson,   // exponential gaps of mean 1 / rate, as from many callers
};

class Arrivals {
 public:
  // `rate` in calls per second, > 0. One seed gives one schedule.
  Arrivals(ArrivalKind kind, double rate, uint64_t seed)
      : kind_(kind), rate_(rate), random_(seed) {}

  // The next start in ns since the begin, never before the previous one. The
  // n-th constant one is n / rate rounded: rounding does not add up.
  int64_t Next();

 private:
  ArrivalKind kind_;
  double rate_;
  std::mt19937_64 random_;
  uint64_t count_ = 0;
  double seconds_ = 0;  // of the last Poisson arrival
};

}  // namespace halfstep::load

#endif  // HALFSTEP_CLIENT_LOAD_ARRIVALS_H_

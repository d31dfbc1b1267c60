#include "client/numpy_random.h"

namespace halfstep {

double NumpyRandom::RandomSample() {
  // 27 high bits of one output and 26 of the next make the 53 of a double.
  const auto high = static_cast<double>(generator_() >> 5);
  const auto low = static_cast<double>(generator_() >> 6);
  return (high * 0x1p26 + low) / 0x1p53;
}

std::vector<double> NumpyRandom::Uniform(const Interval& interval,
                                         size_t size) {
  const double range = interval.high - interval.low;
  std::vector<double> reals(size);
  for (double& real : reals) real = interval.low + range * RandomSample();
  return reals;
}

}  // namespace halfstep

// NumPy's legacy random numbers: the ones that notebooks show.
//
//   np.random.seed(seed)
//   np.random.uniform(low, high, size)
//
// The generator is the Mersenne Twister of Matsumoto and Nishimura, seeded with
// one 32-bit number; a real takes two of its outputs (their genrand_res53).
#ifndef HALFSTEP_CLIENT_NUMPY_RANDOM_H_
#define HALFSTEP_CLIENT_NUMPY_RANDOM_H_

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace halfstep {

class NumpyRandom {
 public:
  // np.random.seed(seed). NumPy takes no seed past 32 bits either.
  explicit NumpyRandom(uint32_t seed) : generator_(seed) {}

  // np.random.random_sample(): a multiple of 2^-53 in [0, 1).
  double RandomSample();

  struct Interval {
    double low;
    double high;
  };

  // np.random.uniform(low, high, size): low + (high - low) * RandomSample(),
  // `size` times. Bit for bit NumPy's, as long as high - low is finite.
  std::vector<double> Uniform(const Interval& interval, size_t size);

 private:
  std::mt19937 generator_;
};

}  // namespace halfstep

#endif  // HALFSTEP_CLIENT_NUMPY_RANDOM_H_

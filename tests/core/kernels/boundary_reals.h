// Reals on which implementations differ: ties, the ends of the code range and
// their neighbours, subnormals, both zeros, NaN and infinities.
#ifndef HALFSTEP_TESTS_CORE_KERNELS_BOUNDARY_REALS_H_
#define HALFSTEP_TESTS_CORE_KERNELS_BOUNDARY_REALS_H_

#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <vector>

namespace halfstep {

// `count` reals around multiples of half a `scale`, between `code_min` and
// `code_max` steps and a little past them. The same for the same arguments.
template <typename T>
std::vector<T> BoundaryReals(T scale, double code_min, double code_max,
                             size_t count) {
  constexpr T kInfinity = std::numeric_limits<T>::infinity();
  const T special[] = {std::numeric_limits<T>::quiet_NaN(),
                       kInfinity,
                       -kInfinity,
                       T{0},
                       -T{0},
                       std::numeric_limits<T>::denorm_min(),
                       -std::numeric_limits<T>::min(),
                       std::numeric_limits<T>::max(),
                       std::numeric_limits<T>::lowest(),
                       static_cast<T>(0.273939937),
                       static_cast<T>(code_max * scale),
                       static_cast<T>(code_min * scale)};
  std::mt19937_64 random(count);
  std::uniform_real_distribution<double> steps(code_min - 3, code_max + 3);
  std::vector<T> reals(count);
  for (size_t i = 0; i < count; ++i) {
    const auto half = static_cast<T>(std::floor(steps(random) * 2) / 2);
    switch (random() % 5) {
      case 0:
        reals[i] = half * scale;  // a tie, or an integer
        break;
      case 1:
        reals[i] = std::nextafter(half * scale, kInfinity);
        break;
      case 2:
        reals[i] = std::nextafter(half * scale, -kInfinity);
        break;
      case 3:
        reals[i] = static_cast<T>(steps(random)) * scale;
        break;
      default:
        reals[i] = special[random() % std::size(special)];
    }
  }
  // Non-finite at the very end, where a vector's tail is.
  if (count % 3 == 1) reals.back() = std::numeric_limits<T>::quiet_NaN();
  return reals;
}

}  // namespace halfstep

#endif  // HALFSTEP_TESTS_CORE_KERNELS_BOUNDARY_REALS_H_

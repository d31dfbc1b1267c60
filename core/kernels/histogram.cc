#include "core/kernels/histogram.h"

#include <bit>
#include <cmath>
#include <cstring>

namespace halfstep::kernels {

void CountUpperHalves(const float* reals, size_t count, uint32_t* counts) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(reals);
  size_t i = 0;
  // Two reals per load: loads bound this loop, beside the increments.
  for (; i + 4 <= count; i += 4) {
    uint64_t first;
    uint64_t second;
    std::memcpy(&first, bytes + i * sizeof(float), sizeof(first));
    std::memcpy(&second, bytes + (i + 2) * sizeof(float), sizeof(second));
    ++counts[(first >> 16) & 0xFFFF];
    ++counts[first >> 48];
    ++counts[(second >> 16) & 0xFFFF];
    ++counts[second >> 48];
  }
  for (; i < count; ++i) {
    uint32_t bits;
    std::memcpy(&bits, bytes + i * sizeof(float), sizeof(bits));
    ++counts[bits >> 16];
  }
}

void RoundTowardZero(const double* reals, size_t count, float* rounded) {
  for (size_t i = 0; i < count; ++i) {
    double real;
    std::memcpy(&real, reals + i, sizeof(real));
    const auto nearest = static_cast<float>(real);
    // One step back toward zero where rounding went away from it. A finite real
    // that became infinite goes back to the largest finite number.
    const bool away = std::fabs(static_cast<double>(nearest)) > std::fabs(real);
    rounded[i] = std::bit_cast<float>(std::bit_cast<uint32_t>(nearest) -
                                      static_cast<uint32_t>(away));
  }
}

}  // namespace halfstep::kernels

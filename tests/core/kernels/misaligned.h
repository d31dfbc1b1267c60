// Numbers one byte off any alignment, for kernels that must not mind.
#ifndef HALFSTEP_TESTS_CORE_KERNELS_MISALIGNED_H_
#define HALFSTEP_TESTS_CORE_KERNELS_MISALIGNED_H_

#include <cstddef>
#include <cstring>
#include <vector>

namespace halfstep::kernels {

// Numbers of type T, one after another.
template <typename T>
struct Misaligned {
  explicit Misaligned(size_t count) : bytes(count * sizeof(T) + 1) {}
  explicit Misaligned(const std::vector<T>& numbers)
      : Misaligned(numbers.size()) {
    if (numbers.empty()) return;
    std::memcpy(bytes.data() + 1, numbers.data(), numbers.size() * sizeof(T));
  }

  T* data() { return reinterpret_cast<T*>(bytes.data() + 1); }
  T At(size_t i) const {
    T number;
    std::memcpy(&number, bytes.data() + 1 + i * sizeof(T), sizeof(T));
    return number;
  }
  std::vector<T> Aligned() const {
    std::vector<T> numbers;
    for (size_t i = 0; i < (bytes.size() - 1) / sizeof(T); ++i) {
      numbers.push_back(At(i));
    }
    return numbers;
  }

  std::vector<unsigned char> bytes;
};

}  // namespace halfstep::kernels

#endif  // HALFSTEP_TESTS_CORE_KERNELS_MISALIGNED_H_

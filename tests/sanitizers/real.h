// The function that one of ours stands in front of.
#ifndef HALFSTEP_TESTS_SANITIZERS_REAL_H_
#define HALFSTEP_TESTS_SANITIZERS_REAL_H_

#include <dlfcn.h>

#include <atomic>
#include <cstdlib>

namespace halfstep {

// The next library's function of that name, looked up once. Ends the process if
// there is none: then the library is not the one that this was written for.
template <typename Function>
class Real {
 public:
  explicit constexpr Real(const char* name) : name_(name) {}

  template <typename... Arguments>
  auto operator()(Arguments... arguments) {
    void* found = found_.load(std::memory_order_relaxed);
    if (found == nullptr) {
      found = dlsym(RTLD_NEXT, name_);
      if (found == nullptr) std::abort();
      found_.store(found, std::memory_order_relaxed);
    }
    return reinterpret_cast<Function*>(found)(arguments...);
  }

 private:
  const char* const name_;
  std::atomic<void*> found_{nullptr};
};

}  // namespace halfstep

#endif  // HALFSTEP_TESTS_SANITIZERS_REAL_H_

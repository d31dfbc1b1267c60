#include "server/network/descriptor_limit.h"

#include <sys/resource.h>

#include <algorithm>

namespace halfstep {
namespace {

constexpr size_t kOwnDescriptors = 128;

}  // namespace

size_t DescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  return static_cast<size_t>(limit.rlim_max);
}

void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

size_t ConnectionsWithin(size_t limit) {
  // Where there are few, half of them.
  return std::max<size_t>(1, limit - std::min(kOwnDescriptors, limit / 2));
}

}  // namespace halfstep

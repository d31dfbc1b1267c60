// How much of the machine this process may use: all of it, or what the control
// group (cgroup v1 or v2) of its container leaves.
#ifndef HALFSTEP_SERVER_SETTINGS_CONTAINER_LIMITS_H_
#define HALFSTEP_SERVER_SETTINGS_CONTAINER_LIMITS_H_

#include <cstdint>
#include <string>

namespace halfstep {

// Where the kernel tells about control groups.
struct CgroupFiles {
  std::string mounted_at = "/sys/fs/cgroup";
  std::string own_groups = "/proc/self/cgroup";
};

// Bytes of memory: the least of the machine's and of the limits of the group of
// this process and the groups above it. What cannot be read is no limit.
uint64_t MemoryBytes(const CgroupFiles& files = {});

// Processors, at least 1: those that this process may run on, or as many as
// `quota / period` of its groups comes to, rounded up. One thread more than the
// quota pays for would be stopped for the rest of each period (100 ms as a
// rule), and a call with it.
unsigned Processors(const CgroupFiles& files = {});

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_SETTINGS_CONTAINER_LIMITS_H_

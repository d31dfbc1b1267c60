// What this process uses of its machine.
#ifndef HALFSTEP_SERVER_TELEMETRY_PROCESS_USAGE_H_
#define HALFSTEP_SERVER_TELEMETRY_PROCESS_USAGE_H_

#include <cstdint>

namespace halfstep {

// Named as Prometheus' own libraries name it, less "process_".
struct ProcessUsage {
  double cpu_seconds = 0;         // user and system
  double start_time_seconds = 0;  // since 1970
  uint64_t resident_memory_bytes = 0;
  uint64_t virtual_memory_bytes = 0;
  uint64_t open_fds = 0;
  uint64_t max_fds = 0;
};

// Reads /proc. What cannot be read is 0.
ProcessUsage ReadProcessUsage();

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_TELEMETRY_PROCESS_USAGE_H_

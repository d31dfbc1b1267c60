#include "server/settings/container_limits.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace halfstep {
namespace {

// The folders with the limits of `controller` ("memory", "cpu"), from the own
// group's up to the root's. A container sees its own group as the root.
//
// A line of own_groups is ID:CONTROLLERS:PATH; cgroup v2 has one, 0::PATH.
std::vector<std::string> Folders(const CgroupFiles& files,
                                 absl::string_view controller) {
  std::vector<std::string> folders;
  const auto climb = [&folders](const std::string& root, std::string path) {
    while (!path.empty() && path != "/") {
      folders.push_back(root + path);
      path.erase(path.rfind('/'));
    }
    folders.push_back(root);
  };
  std::ifstream own(files.own_groups);
  for (std::string line; std::getline(own, line);) {
    const std::vector<std::string> fields =
        absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (fields.size() != 3 || fields[2].empty() || fields[2][0] != '/')
      continue;
    if (fields[1].empty()) climb(files.mounted_at, fields[2]);
    for (const absl::string_view name : absl::StrSplit(fields[1], ',')) {
      if (name == controller) {
        climb(absl::StrCat(files.mounted_at, "/", controller), fields[2]);
      }
    }
  }
  return folders;
}

// The number in `path`, or 0 if there is none: "max" and -1 mean no limit.
uint64_t ReadNumber(const std::string& path) {
  int64_t number = 0;
  if (std::ifstream(path) >> number && number > 0) {
    return static_cast<uint64_t>(number);
  }
  return 0;
}

// Time that a group may compute in each period, or 0 if there is no limit.
struct Quota {
  uint64_t quota = 0;
  uint64_t period = 0;
};

Quota ReadQuota(const std::string& folder) {
  Quota read;
  // cgroup v2: "QUOTA PERIOD", "max PERIOD" without a limit.
  if (std::ifstream file(folder + "/cpu.max");
      file >> read.quota >> read.period) {
    return read;
  }
  return {.quota = ReadNumber(folder + "/cpu.cfs_quota_us"),
          .period = ReadNumber(folder + "/cpu.cfs_period_us")};
}

}  // namespace

uint64_t MemoryBytes(const CgroupFiles& files) {
  uint64_t bytes = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) *
                   static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  for (const std::string& folder : Folders(files, "memory")) {
    for (const char* name : {"/memory.max", "/memory.limit_in_bytes"}) {
      const uint64_t limit = ReadNumber(folder + name);
      if (limit > 0) bytes = std::min(bytes, limit);
    }
  }
  return bytes;
}

unsigned Processors(const CgroupFiles& files) {
  // Respects the processors that the process is bound to.
  uint64_t processors = std::max(1U, std::thread::hardware_concurrency());
  for (const std::string& folder : Folders(files, "cpu")) {
    const Quota quota = ReadQuota(folder);
    if (quota.quota == 0 || quota.period == 0) continue;
    processors =
        std::min(processors, (quota.quota + quota.period - 1) / quota.period);
  }
  return static_cast<unsigned>(processors);
}

}  // namespace halfstep

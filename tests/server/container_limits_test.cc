// Control groups as the kernel and container engines lay them out, in a folder.
#include "server/settings/container_limits.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <thread>

#include "tests/temporary_folder.h"

namespace halfstep {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

class ContainerLimits : public testing::Test {
 protected:
  void Write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = root_.Path(path);
    std::filesystem::create_directories(file.parent_path());
    root_.Write(path, text);
  }

  const TemporaryFolder root_;
  const CgroupFiles files_ = {.mounted_at = root_.Path("cgroup"),
                              .own_groups = root_.Path("self")};
};

TEST_F(ContainerLimits, WithoutFilesTheMachineIsTheLimit) {
  const uint64_t machine = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) *
                           static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  EXPECT_EQ(MemoryBytes(files_), machine);
  EXPECT_EQ(Processors(files_), std::thread::hardware_concurrency());
}

TEST_F(ContainerLimits, UnlimitedGroupsAreNoLimit) {
  const uint64_t machine = MemoryBytes(files_);
  const unsigned processors = Processors(files_);
  Write("self", "4:memory:/a\n3:cpu,cpuacct:/a\n0::/a\n");
  Write("cgroup/memory/a/memory.limit_in_bytes", "9223372036854771712\n");
  Write("cgroup/cpu/a/cpu.cfs_quota_us", "-1\n");
  Write("cgroup/cpu/a/cpu.cfs_period_us", "100000\n");
  Write("cgroup/a/memory.max", "max\n");
  Write("cgroup/a/cpu.max", "max 100000\n");
  EXPECT_EQ(MemoryBytes(files_), machine);
  EXPECT_EQ(Processors(files_), processors);
}

TEST_F(ContainerLimits, VersionTwoTakesTheLeastOfItsGroups) {
  Write("self", "0::/a/b\n");
  Write("cgroup/a/memory.max", "67108864\n");
  Write("cgroup/a/b/memory.max", "134217728\n");
  // 0.5 of a processor below 1.5: one thread, not none.
  Write("cgroup/a/cpu.max", "150000 100000\n");
  Write("cgroup/a/b/cpu.max", "50000 100000\n");
  EXPECT_EQ(MemoryBytes(files_), 64 * kMiB);
  EXPECT_EQ(Processors(files_), 1);
}

TEST_F(ContainerLimits, VersionOneTakesTheLeastOfItsGroups) {
  Write(
      "self",
      "9:name=systemd:/\n4:memory:/a/b\n3:cpuset:/\n2:cpu,cpuacct:/c\n0::/\n");
  Write("cgroup/memory/a/b/memory.limit_in_bytes", "67108864\n");
  Write("cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  Write("cgroup/cpu/c/cpu.cfs_quota_us", "20000\n");
  Write("cgroup/cpu/c/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(MemoryBytes(files_), 64 * kMiB);
  EXPECT_EQ(Processors(files_), 1);
}

// The own group is mounted as the root, but named as the machine sees it.
TEST_F(ContainerLimits, InAContainerTheRootIsTheOwnGroup) {
  Write("self", "4:memory:/docker/0123\n2:cpu,cpuacct:/docker/0123\n");
  Write("cgroup/memory/memory.limit_in_bytes", "33554432\n");
  Write("cgroup/cpu/cpu.cfs_quota_us", "100000\n");
  Write("cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(MemoryBytes(files_), 32 * kMiB);
  EXPECT_EQ(Processors(files_), 1);
}

TEST_F(ContainerLimits, AQuotaIsRoundedUp) {
  if (std::thread::hardware_concurrency() < 2) GTEST_SKIP() << "1 processor";
  Write("self", "0::/\n");
  Write("cgroup/cpu.max", "100001 100000\n");
  EXPECT_EQ(Processors(files_), 2);
}

TEST_F(ContainerLimits, NonsenseIsNoLimit) {
  const uint64_t machine = MemoryBytes(files_);
  Write("self", "nonsense\n::\n0::\n0::relative\n4:memory\n0::/a\n");
  Write("cgroup/a/memory.max", "plenty\n");
  Write("cgroup/a/cpu.max", "0 0\n");
  Write("cgroup/cpu.max", "\n");
  EXPECT_EQ(MemoryBytes(files_), machine);
  EXPECT_EQ(Processors(files_), std::thread::hardware_concurrency());
}

}  // namespace
}  // namespace halfstep

// Files appear whole or not at all.
#include "client/output_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <utility>

#include "tests/temporary_folder.h"

namespace halfstep {
namespace {

using Names = std::set<std::string>;
using testing::HasSubstr;

TEST(OutputFile, AppearsWhenCommitted) {
  const TemporaryFolder folder;
  absl::StatusOr<OutputFile> file = OutputFile::Create(folder.Path("a"));
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ(file->Write("one "), absl::OkStatus());
  ASSERT_EQ(file->Write("two"), absl::OkStatus());
  EXPECT_FALSE(std::filesystem::exists(folder.Path("a")));
  OutputFile* const files[] = {&*file};
  ASSERT_EQ(OutputFile::Commit(files), absl::OkStatus());
  EXPECT_EQ(folder.Read("a"), "one two");
  EXPECT_EQ(folder.Names(), Names{"a"});
}

TEST(OutputFile, LeavesNothingWhenDropped) {
  const TemporaryFolder folder;
  {
    absl::StatusOr<OutputFile> file = OutputFile::Create(folder.Path("a"));
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_EQ(file->Write("half"), absl::OkStatus());
  }
  EXPECT_EQ(folder.Names(), Names{});
}

TEST(OutputFile, WhatWasThereStaysUntilCommitted) {
  const TemporaryFolder folder;
  folder.Write("a", "old");
  absl::StatusOr<OutputFile> file = OutputFile::Create(folder.Path("a"));
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ(file->Write("new"), absl::OkStatus());
  EXPECT_EQ(folder.Read("a"), "old");
  OutputFile* const files[] = {&*file};
  ASSERT_EQ(OutputFile::Commit(files), absl::OkStatus());
  EXPECT_EQ(folder.Read("a"), "new");
}

TEST(OutputFile, TwoFilesAppearTogetherOrNotAtAll) {
  const TemporaryFolder folder;
  absl::StatusOr<OutputFile> first = OutputFile::Create(folder.Path("first"));
  absl::StatusOr<OutputFile> second = OutputFile::Create(folder.Path("second"));
  ASSERT_TRUE(first.ok() && second.ok());
  // A folder takes the second one's place in the meantime.
  std::filesystem::create_directory(folder.Path("second"));
  folder.Write("second/child", "");
  OutputFile* const files[] = {&*first, &*second};
  const absl::Status status = OutputFile::Commit(files);
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr(folder.Path("second")));
  EXPECT_FALSE(std::filesystem::exists(folder.Path("first")));
}

TEST(OutputFile, HasThePermissionsOfAnyNewFile) {
  const TemporaryFolder folder;
  const mode_t before = umask(027);
  absl::StatusOr<OutputFile> file = OutputFile::Create(folder.Path("a"));
  umask(before);
  ASSERT_TRUE(file.ok()) << file.status();
  OutputFile* const files[] = {&*file};
  ASSERT_EQ(OutputFile::Commit(files), absl::OkStatus());
  struct stat status;
  ASSERT_EQ(stat(folder.Path("a").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0640u);
}

TEST(OutputFile, FollowsALink) {
  const TemporaryFolder folder;
  folder.Write("target", "old");
  std::filesystem::create_symlink("target", folder.Path("link"));
  absl::StatusOr<OutputFile> file = OutputFile::Create(folder.Path("link"));
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ(file->Write("new"), absl::OkStatus());
  OutputFile* const files[] = {&*file};
  ASSERT_EQ(OutputFile::Commit(files), absl::OkStatus());
  EXPECT_TRUE(std::filesystem::is_symlink(folder.Path("link")));
  EXPECT_EQ(folder.Read("target"), "new");
}

TEST(OutputFile, RefusesWhatIsNoRegularFile) {
  const TemporaryFolder folder;
  for (const std::string& path : {folder.Path("."), std::string("/dev/null")}) {
    const absl::Status status = OutputFile::Create(path).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(path));
  }
}

TEST(OutputFile, RefusesAFolderThatIsMissing) {
  const TemporaryFolder folder;
  const std::string path = folder.Path("missing/a");
  const absl::Status status = OutputFile::Create(path).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr(path + ": cannot be written"));
}

// A limit on the size of files stands for a full disk: both fail a write in the
// middle. In a process of its own, since the limit is the process's.
void WriteTooMuch(const std::string& path) {
  const rlimit limit = {.rlim_cur = 1000, .rlim_max = 1000};
  setrlimit(RLIMIT_FSIZE, &limit);
  signal(SIGXFSZ, SIG_IGN);
  absl::StatusOr<OutputFile> file = OutputFile::Create(path);
  const bool failed = file.ok() && !file->Write(std::string(10'000, 'x')).ok();
  { const absl::StatusOr<OutputFile> dropped = std::move(file); }
  _exit(failed ? 42 : 1);
}

TEST(OutputFileDeathTest, AWriteThatFailsLeavesNothing) {
  const TemporaryFolder folder;
  EXPECT_EXIT(WriteTooMuch(folder.Path("a")), testing::ExitedWithCode(42), "");
  EXPECT_EQ(folder.Names(), Names{});
}

}  // namespace
}  // namespace halfstep

#include "server/security/file_watch.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "tests/server/pem.h"
#include "tests/temporary_folder.h"

namespace halfstep {
namespace {

// Generous: a machine that others use looks late.
constexpr absl::Duration kPatience = absl::Seconds(30);

// Two files that are good if they are equal; what was loaded, and what was
// reported.
class FileWatchTest : public ::testing::Test {
 protected:
  FileWatchTest() { Write("1", "1"); }

  void Write(const std::string& left, const std::string& right) {
    WriteFile(left_, left);
    WriteFile(right_, right);
  }

  absl::Status Load() {
    const std::string left = folder_.Read("left");
    const std::string right = folder_.Read("right");
    absl::MutexLock lock(&mutex_);
    ++loads_;
    if (left != right) return absl::FailedPreconditionError(left + right);
    loaded_ = left;
    return absl::OkStatus();
  }

  void Report(const absl::Status& status, absl::string_view text) {
    EXPECT_TRUE(absl::StartsWith(text, "pair: ")) << text;
    absl::MutexLock lock(&mutex_);
    (status.ok() ? reloads_ : complaints_).emplace_back(text);
  }

  // Whether `is_so` becomes true in time.
  bool Await(const std::function<bool()>& is_so) {
    absl::MutexLock lock(&mutex_);
    return mutex_.AwaitWithTimeout(absl::Condition(&is_so), kPatience);
  }

  // Long enough for several looks, if nobody else needs the machine.
  static void LookAgain() { absl::SleepFor(absl::Milliseconds(100)); }

  const TemporaryFolder folder_;
  const std::string left_ = folder_.Path("left");
  const std::string right_ = folder_.Path("right");
  absl::Mutex mutex_;
  int loads_ = 0;
  std::string loaded_;
  std::vector<std::string> reloads_;
  std::vector<std::string> complaints_;
  FileWatch watch_{{{.name = "pair",
                     .paths = {left_, right_},
                     .load = [this] { return Load(); }}},
                   [this](const absl::Status& status, absl::string_view text) {
                     Report(status, text);
                   }};
};

TEST_F(FileWatchTest, LoadsAtTheStartAndAfterAChange) {
  ASSERT_TRUE(watch_.Start(absl::Milliseconds(5)).ok());
  EXPECT_EQ(loaded_, "1");
  LookAgain();
  {
    absl::MutexLock lock(&mutex_);
    EXPECT_EQ(loads_, 1);
  }
  Write("2", "2");
  EXPECT_TRUE(Await([this] { return loaded_ == "2"; }));
  EXPECT_TRUE(Await([this] { return !reloads_.empty(); }));
}

TEST_F(FileWatchTest, AStartWithBadFilesFails) {
  Write("1", "2");
  EXPECT_EQ(watch_.Start(absl::Milliseconds(5)).message(), "12");
}

TEST_F(FileWatchTest, ComplainsOnceAboutEachChange) {
  ASSERT_TRUE(watch_.Start(absl::Milliseconds(5)).ok());
  WriteFile(left_, "2");
  EXPECT_TRUE(Await([this] { return complaints_.size() == 1; }));
  LookAgain();
  WriteFile(left_, "3");
  EXPECT_TRUE(Await([this] { return complaints_.size() == 2; }));
  LookAgain();
  WriteFile(right_, "3");
  EXPECT_TRUE(Await([this] { return loaded_ == "3"; }));
  absl::MutexLock lock(&mutex_);
  EXPECT_EQ(complaints_.size(), 2u);
}

TEST_F(FileWatchTest, NoticesModesLinksAndFilesThatGo) {
  ASSERT_TRUE(watch_.Start(absl::Milliseconds(5)).ok());
  const auto loads = [this] {
    absl::MutexLock lock(&mutex_);
    return loads_;
  };
  int before = loads();
  chmod(left_.c_str(), 0640);
  EXPECT_TRUE(Await([&] { return loads_ > before; }));
  // Another file under the same name, of the same size.
  std::filesystem::create_directory(folder_.Path("next"));
  WriteFile(folder_.Path("next/left"), "4");
  std::filesystem::remove(left_);
  std::filesystem::create_symlink("next/left", left_);
  EXPECT_TRUE(Await([this] { return !complaints_.empty(); }));
  WriteFile(right_, "4");
  EXPECT_TRUE(Await([this] { return loaded_ == "4"; }));
  before = loads();
  std::filesystem::remove(right_);
  EXPECT_TRUE(Await([&] { return loads_ > before; }));
}

TEST_F(FileWatchTest, ReloadsWhenTold) {
  ASSERT_TRUE(watch_.Start(absl::InfiniteDuration()).ok());
  Write("2", "2");
  LookAgain();
  EXPECT_EQ(loaded_, "1");
  watch_.ReloadNow();
  EXPECT_EQ(loaded_, "2");
  // Told by somebody, it does not wait for a second look.
  WriteFile(left_, "3");
  watch_.ReloadNow();
  EXPECT_EQ(complaints_.size(), 1u);
  EXPECT_EQ(loaded_, "2");
}

}  // namespace
}  // namespace halfstep

#include "server/security/file_watch.h"

#include <sys/stat.h>

#include <fstream>
#include <iterator>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"

namespace halfstep {
namespace {

// Changes whenever what is in one of the files changes, or who may read it.
std::string StateOf(const std::vector<std::string>& paths) {
  std::string state;
  for (const std::string& path : paths) {
    struct stat file = {};
    if (stat(path.c_str(), &file) != 0 || !S_ISREG(file.st_mode)) {
      absl::StrAppend(&state, "none;");
      continue;
    }
    std::ifstream stream(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(stream), {}};
    absl::StrAppend(&state, file.st_mode, ",", file.st_uid, ",", text.size(),
                    ",", absl::HashOf(text), ";");
  }
  return state;
}

}  // namespace

FileWatch::FileWatch(std::vector<Group> groups, Report report)
    : report_(std::move(report)) {
  absl::MutexLock lock(&mutex_);
  for (Group& group : groups) {
    watched_.push_back(
        {.group = std::move(group), .loaded = "", .bad = "", .reported = ""});
  }
}

FileWatch::~FileWatch() {
  stop_.Notify();
  if (thread_.joinable()) thread_.join();
}

absl::Status FileWatch::Start(absl::Duration interval) {
  absl::MutexLock lock(&mutex_);
  for (Watched& watched : watched_) {
    // Before the files are read: what changes in between is noticed.
    watched.loaded = StateOf(watched.group.paths);
    absl::Status status = watched.group.load();
    if (!status.ok()) return status;
  }
  if (!watched_.empty() && interval < absl::InfiniteDuration()) {
    thread_ = std::thread([this, interval] { Watch(interval); });
  }
  return absl::OkStatus();
}

void FileWatch::ReloadNow() {
  absl::MutexLock lock(&mutex_);
  for (Watched& watched : watched_) {
    Load(watched, StateOf(watched.group.paths), /*is_last_try=*/true);
  }
}

void FileWatch::Watch(absl::Duration interval) {
  while (!stop_.WaitForNotificationWithTimeout(interval)) Look();
}

void FileWatch::Look() {
  absl::MutexLock lock(&mutex_);
  for (Watched& watched : watched_) {
    const std::string state = StateOf(watched.group.paths);
    if (state == watched.loaded) {
      watched.bad.clear();
      watched.reported.clear();
    } else if (state != watched.reported) {
      // Certificate and key cannot be replaced in the same moment: what does
      // not fit is looked at twice before anybody hears of it.
      Load(watched, state, /*is_last_try=*/state == watched.bad);
    }
  }
}

void FileWatch::Load(Watched& watched, const std::string& state,
                     bool is_last_try) {
  const absl::Status status = watched.group.load();
  if (status.ok()) {
    watched.loaded = state;
    watched.bad.clear();
    watched.reported.clear();
    report_(status, absl::StrCat(watched.group.name, ": reloaded"));
  } else {
    watched.bad = state;
    if (!is_last_try) return;
    watched.reported = state;
    report_(status, absl::StrCat(watched.group.name,
                                 ": not reloaded, those from before "
                                 "stay in use: ",
                                 status.message()));
  }
}

}  // namespace halfstep

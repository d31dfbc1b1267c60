// Files that are read again when they change.
//
// What counts is what is in a file and who may read it, not when it was
// written: so a file may be overwritten, renamed over, or be a symbolic link
// that is turned elsewhere, as Kubernetes does it.
#ifndef HALFSTEP_SERVER_SECURITY_FILE_WATCH_H_
#define HALFSTEP_SERVER_SECURITY_FILE_WATCH_H_

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"

namespace halfstep {

// Thread-safe.
class FileWatch {
 public:
  // Files that belong together.
  struct Group {
    std::string name;                // "certificates", for the log
    std::vector<std::string> paths;  // of those that there are
    // Takes the files as they are now, or leaves everything as it was and says
    // why. Never called by two threads at once.
    std::function<absl::Status()> load;
  };
  // Says how a group was reloaded, or what is wrong with its files.
  using Report =
      std::function<void(const absl::Status& status, absl::string_view text)>;

  FileWatch(std::vector<Group> groups, Report report);
  ~FileWatch();
  FileWatch(const FileWatch&) = delete;
  FileWatch& operator=(const FileWatch&) = delete;

  // Loads every group; errors of the first that fails. Then looks at their
  // files every `interval`, in a thread of its own; infinite: never. Once.
  absl::Status Start(absl::Duration interval);

  // Loads every group, changed or not. After Start.
  void ReloadNow();

 private:
  struct Watched {
    Group group;
    // The files' states, each as a text: as they were loaded; as they were
    // found bad at the last look; and as they were when that was reported.
    std::string loaded;
    std::string bad;
    std::string reported;
  };

  void Watch(absl::Duration interval);
  void Look();
  void Load(Watched& watched, const std::string& state, bool is_last_try)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Report report_;
  absl::Mutex mutex_;
  std::vector<Watched> watched_ ABSL_GUARDED_BY(mutex_);
  absl::Notification stop_;
  std::thread thread_;
};

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_SECURITY_FILE_WATCH_H_

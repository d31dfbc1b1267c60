#include "client/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"

namespace halfstep {
namespace {

absl::Status Failure(absl::string_view path) {
  return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot be written"));
}

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// A name in the folder of `path` that no other process uses.
std::string TemporaryName(const std::string& path) {
  static std::atomic<int> counter = 0;
  return absl::StrCat(FolderOf(path), "/.halfstep.", getpid(), ".", ++counter,
                      ".tmp");
}

// Where a link points, or the path itself.
std::string FollowLink(const std::string& path) {
  char resolved[PATH_MAX];
  struct stat status;
  if (lstat(path.c_str(), &status) == 0 && S_ISLNK(status.st_mode) &&
      realpath(path.c_str(), resolved) != nullptr) {
    return resolved;
  }
  return path;
}

}  // namespace

absl::StatusOr<OutputFile> OutputFile::Create(const std::string& given) {
  const std::string path = FollowLink(given);
  struct stat status;
  if (stat(path.c_str(), &status) == 0) {
    // Replacing a device by a file would break the system that has it.
    if (!S_ISREG(status.st_mode)) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": cannot be written: not a regular file"));
    }
    if (access(path.c_str(), W_OK) != 0) return Failure(path);
  }
  constexpr mode_t kMode = 0666;  // less what the user's umask takes away
  int descriptor =
      open(FolderOf(path).c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, kMode);
  if (descriptor >= 0) return OutputFile(path, "", descriptor);
  if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL) {
    return Failure(path);
  }
  const std::string temporary = TemporaryName(path);
  descriptor =
      open(temporary.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, kMode);
  if (descriptor < 0) return Failure(path);
  return OutputFile(path, temporary, descriptor);
}

OutputFile::OutputFile(std::string path, std::string temporary, int descriptor)
    : path_(std::move(path)),
      temporary_(std::move(temporary)),
      descriptor_(descriptor) {}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, "")),
      descriptor_(std::exchange(other.descriptor_, -1)) {}

OutputFile::~OutputFile() {
  if (descriptor_ >= 0) close(descriptor_);
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

absl::Status OutputFile::Write(absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Failure(path_);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

// A file without a name cannot take that of another file: it gets one of its
// own first, for the moment until it is renamed.
absl::Status OutputFile::NameTemporary() {
  if (!temporary_.empty()) return absl::OkStatus();
  std::string temporary = TemporaryName(path_);
  const std::string self = absl::StrCat("/proc/self/fd/", descriptor_);
  if (linkat(AT_FDCWD, self.c_str(), AT_FDCWD, temporary.c_str(),
             AT_SYMLINK_FOLLOW) != 0) {
    return Failure(path_);
  }
  temporary_ = std::move(temporary);
  return absl::OkStatus();
}

absl::Status OutputFile::Commit(absl::Span<OutputFile* const> files) {
  for (OutputFile* file : files) {
    absl::Status status = file->NameTemporary();
    if (!status.ok()) return status;
  }
  for (size_t i = 0; i < files.size(); ++i) {
    OutputFile& file = *files[i];
    if (rename(file.temporary_.c_str(), file.path_.c_str()) != 0) {
      const absl::Status status = Failure(file.path_);
      for (size_t done = 0; done < i; ++done) {
        unlink(files[done]->path_.c_str());
      }
      return status;
    }
    file.temporary_.clear();
  }
  return absl::OkStatus();
}

}  // namespace halfstep

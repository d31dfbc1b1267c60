#include "server/security/secret_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace halfstep {
namespace {

constexpr size_t kFileBytesMax = size_t{1} << 20;

absl::Status Fault(const std::string& path, absl::string_view fault) {
  return absl::FailedPreconditionError(absl::StrCat(path, ": ", fault));
}

absl::Status CheckIsSecret(const std::string& path, const struct stat& file) {
  const mode_t allowed = file.st_uid == 0 ? S_IRWXU | S_IRGRP : S_IRWXU;
  const mode_t mode = file.st_mode & (S_IRWXU | S_IRWXG | S_IRWXO);
  if ((mode & ~allowed) == 0) return absl::OkStatus();
  return Fault(path, absl::StrFormat("mode %04o, open to others; must be 0600 "
                                     "(0640 if root owns it): chmod 600",
                                     mode));
}

// `check` sees the file that is read, not one that has just taken its name.
absl::StatusOr<std::string> Read(const std::string& path, bool is_secret) {
  // A FIFO without a writer would block otherwise.
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) {
    return Fault(path, absl::StrCat("cannot be read (", std::strerror(errno),
                                    "); must be a file"));
  }
  const auto closes = absl::MakeCleanup([file] { close(file); });
  struct stat status = {};
  if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) {
    return Fault(path, "no regular file; must be one");
  }
  if (is_secret) {
    if (absl::Status secret = CheckIsSecret(path, status); !secret.ok()) {
      return secret;
    }
  }
  std::string text(kFileBytesMax + 1, '\0');
  size_t size = 0;
  while (size < text.size()) {
    const ssize_t count = read(file, text.data() + size, text.size() - size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      return Fault(path, absl::StrCat("cannot be read (", std::strerror(errno),
                                      "); must be a file"));
    }
    if (count == 0) break;
    size += static_cast<size_t>(count);
  }
  if (size == 0) return Fault(path, "empty; must not be");
  if (size > kFileBytesMax) {
    return Fault(path, absl::StrCat("more than ", kFileBytesMax,
                                    " bytes; must be at most that"));
  }
  text.resize(size);
  return text;
}

}  // namespace

absl::StatusOr<std::string> ReadSettingsFile(const std::string& path) {
  return Read(path, /*is_secret=*/false);
}

absl::StatusOr<std::string> ReadSecretFile(const std::string& path) {
  return Read(path, /*is_secret=*/true);
}

}  // namespace halfstep

#include "client/secret_file.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace halfstep {
namespace {

constexpr off_t kFileBytesMax = off_t{1} << 20;

}  // namespace

absl::StatusOr<std::string> ReadCredentialFile(const std::string& path,
                                               bool is_secret) {
  struct stat file = {};
  if (stat(path.c_str(), &file) != 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, ": cannot be read (", std::strerror(errno), "); must be a file"));
  }
  if (!S_ISREG(file.st_mode) || file.st_size > kFileBytesMax) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, ": no file of at most ", kFileBytesMax, " bytes; must be one"));
  }
  if (is_secret && (file.st_mode & S_IRWXO) != 0) {
    return absl::FailedPreconditionError(
        absl::StrFormat("%s: mode %04o, open to everybody; must be 0600", path,
                        file.st_mode & 0777u));
  }
  std::ifstream stream(path, std::ios::binary);
  if (!stream) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, ": cannot be read (", std::strerror(errno), "); must be a file"));
  }
  return std::string{std::istreambuf_iterator<char>(stream), {}};
}

}  // namespace halfstep

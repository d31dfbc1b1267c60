// Files that appear whole or not at all.
//
// The bytes go to a file without a name, or where the file system has no such
// thing to a temporary one in the same folder, which is renamed at the end. A
// process that is ended in between leaves nothing half written.
#ifndef HALFSTEP_CLIENT_OUTPUT_FILE_H_
#define HALFSTEP_CLIENT_OUTPUT_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace halfstep {

class OutputFile {
 public:
  // Starts a file that is to become `path`. A symbolic link is followed: what
  // it points to is replaced.
  //
  // INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND or UNAVAILABLE, with the
  // path in front, if there cannot be a file: no such folder, a folder or a
  // device of that name, a file that may not be written.
  static absl::StatusOr<OutputFile> Create(const std::string& path);

  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&&) = delete;
  // Removes what has not been committed.
  ~OutputFile();

  // Appends. The same errors, and RESOURCE_EXHAUSTED if the disk is full.
  absl::Status Write(absl::string_view bytes);

  // Gives all `files` their names, replacing what had them. If one cannot have
  // its name, none of the new ones stays.
  static absl::Status Commit(absl::Span<OutputFile* const> files);

 private:
  OutputFile(std::string path, std::string temporary, int descriptor);
  absl::Status NameTemporary();

  std::string path_;
  std::string temporary_;  // the name while it has one, else empty
  int descriptor_;
};

}  // namespace halfstep

#endif  // HALFSTEP_CLIENT_OUTPUT_FILE_H_

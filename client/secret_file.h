// Reads what a client proves itself with.
#ifndef HALFSTEP_CLIENT_SECRET_FILE_H_
#define HALFSTEP_CLIENT_SECRET_FILE_H_

#include <string>

#include "absl/status/statusor.h"

namespace halfstep {

// The contents of the file at `path`. FAILED_PRECONDITION,
// `PATH: what it is; what it must be`, if it cannot be read or is larger than
// 1 MiB; also, if it `is_secret`, when others than its owner and group can read
// it.
absl::StatusOr<std::string> ReadCredentialFile(const std::string& path,
                                               bool is_secret);

}  // namespace halfstep

#endif  // HALFSTEP_CLIENT_SECRET_FILE_H_

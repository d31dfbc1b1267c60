// Edits of a tensor's elements as a notebook makes them.
#ifndef HALFSTEP_CLIENT_CLI_EDIT_H_
#define HALFSTEP_CLIENT_CLI_EDIT_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace halfstep::cli {

// Sets one element of `reals` as `edit` says: "2=0", "0=max+1", "1=min-1.5".
// max and min are those of `reals` as they are now.
//
// INVALID_ARGUMENT if `edit` is not INDEX=WHAT, or there is no such element.
absl::Status ApplyEdit(absl::string_view edit, std::vector<double>& reals);

}  // namespace halfstep::cli

#endif  // HALFSTEP_CLIENT_CLI_EDIT_H_

// Errors that name the field at fault.
//
// A message reads `field.path: what it is; what it must be`. Core names fields
// as the API does, relative to the struct it was given; each caller that knows
// where that struct stands adds its part of the path in front.
#ifndef HALFSTEP_CORE_FIELD_ERROR_H_
#define HALFSTEP_CORE_FIELD_ERROR_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace halfstep {

// INVALID_ARGUMENT with the message `path: fault` and the path attached.
absl::Status FieldError(absl::string_view path, absl::string_view fault);

// RESOURCE_EXHAUSTED in the same form: the call is over a published limit.
absl::Status LimitError(absl::string_view path, absl::string_view fault);

// `status` with `prefix` and a dot in front of its path: "bits" under "spec"
// becomes "spec.bits". A status without a path, or OK, comes back as it is.
absl::Status UnderField(absl::string_view prefix, const absl::Status& status);

// The path of the field at fault, if the status names one.
std::optional<std::string> FieldPath(const absl::Status& status);

}  // namespace halfstep

#endif  // HALFSTEP_CORE_FIELD_ERROR_H_

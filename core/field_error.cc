#include "core/field_error.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"

namespace halfstep {
namespace {

// The key under which a status carries the path of its field.
constexpr absl::string_view kFieldPathUrl = "halfstep/field_path";

absl::Status WithPath(absl::StatusCode code, absl::string_view path,
                      absl::string_view fault) {
  absl::Status status(code, absl::StrCat(path, ": ", fault));
  status.SetPayload(kFieldPathUrl, absl::Cord(path));
  return status;
}

}  // namespace

absl::Status FieldError(absl::string_view path, absl::string_view fault) {
  return WithPath(absl::StatusCode::kInvalidArgument, path, fault);
}

absl::Status LimitError(absl::string_view path, absl::string_view fault) {
  return WithPath(absl::StatusCode::kResourceExhausted, path, fault);
}

absl::Status UnderField(absl::string_view prefix, const absl::Status& status) {
  const std::optional<std::string> path = FieldPath(status);
  if (!path.has_value()) return status;
  const absl::string_view fault = status.message().substr(path->size() + 2);
  return WithPath(status.code(), absl::StrCat(prefix, ".", *path), fault);
}

std::optional<std::string> FieldPath(const absl::Status& status) {
  const absl::optional<absl::Cord> path = status.GetPayload(kFieldPathUrl);
  if (!path.has_value()) return std::nullopt;
  return std::string(*path);
}

}  // namespace halfstep

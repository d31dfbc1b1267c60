// The TOML file of settings, as a list of keys with their lines.
#ifndef HALFSTEP_SERVER_SETTINGS_TOML_FILE_H_
#define HALFSTEP_SERVER_SETTINGS_TOML_FILE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace halfstep {

struct TomlEntry {
  enum class Type { kInteger, kFloat, kText, kBool, kList, kOther };

  std::string key;
  int line = 0;
  Type type = Type::kOther;
  // The value, each element of a kList (of texts alone) by itself; none for
  // kOther: a table, a date, a list of something else.
  std::vector<std::string> texts;
};

// The entries of the file at `path`, in the order of their lines. NOT_FOUND if
// it cannot be read, INVALID_ARGUMENT if it is not TOML; the message begins
// with `path`, and with the line if there is one.
absl::StatusOr<std::vector<TomlEntry>> ReadTomlFile(const std::string& path);

// `text` as TOML has it, with quotes and escapes.
std::string TomlQuoted(absl::string_view text);

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_SETTINGS_TOML_FILE_H_

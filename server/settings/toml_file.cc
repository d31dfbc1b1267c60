#include "server/settings/toml_file.h"

#include <toml++/toml.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"

namespace halfstep {
namespace {

using Type = TomlEntry::Type;

// Settings are a few lines: whoever points at a huge file meant another.
constexpr std::streamoff kFileBytesMax = 1 << 20;

// The value of `node`, as it stands in the file.
void Take(const toml::node& node, TomlEntry& entry) {
  std::ostringstream text;
  if (const auto* integer = node.as_integer()) {
    entry.type = Type::kInteger;
    text << integer->get();  // 0x10 and 1_000 become decimal
  } else if (const auto* real = node.as_floating_point()) {
    entry.type = Type::kFloat;
    text << real->get();
  } else if (const auto* string = node.as_string()) {
    entry.type = Type::kText;
    text << string->get();
  } else if (const auto* boolean = node.as_boolean()) {
    entry.type = Type::kBool;
    text << (boolean->get() ? "true" : "false");
  } else if (const auto* array = node.as_array()) {
    if (!array->empty() && !array->is_homogeneous<std::string>()) return;
    entry.type = Type::kList;
    for (const toml::node& element : *array) {
      entry.texts.push_back(element.as_string()->get());
    }
    return;
  } else {
    return;
  }
  entry.texts = {text.str()};
}

}  // namespace

absl::StatusOr<std::vector<TomlEntry>> ReadTomlFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  const std::streamoff size = file ? std::streamoff{file.tellg()} : -1;
  // A folder opens, too; its size is a made-up one.
  if (size < 0 || !file.seekg(0) || (size > 0 && file.peek() < 0)) {
    const int reason = errno;
    return absl::NotFoundError(
        absl::StrCat(path, ": ", reason == 0 ? "unreadable" : strerror(reason),
                     "; must be a TOML file that can be read"));
  }
  if (size > kFileBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": ", size, " bytes; must be at most ", kFileBytesMax));
  }
  toml::table table;
  try {
    table = toml::parse(file);
  } catch (const toml::parse_error& error) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ":", error.source().begin.line, ": ",
        std::string(error.description()), "; must be TOML: key = value"));
  }
  std::vector<TomlEntry> entries;
  for (const auto& [key, node] : table) {
    TomlEntry entry;
    entry.key = std::string(key.str());
    entry.line = static_cast<int>(key.source().begin.line);
    Take(node, entry);
    entries.push_back(std::move(entry));
  }
  // The table sorts by key.
  std::stable_sort(
      entries.begin(), entries.end(),
      [](const TomlEntry& a, const TomlEntry& b) { return a.line < b.line; });
  return entries;
}

std::string TomlQuoted(absl::string_view text) {
  std::ostringstream quoted;
  quoted << toml::toml_formatter(
      toml::value<std::string>(std::string(text)),
      toml::toml_formatter::default_flags &
          ~(toml::format_flags::allow_literal_strings |
            toml::format_flags::allow_multi_line_strings));
  return quoted.str();
}

}  // namespace halfstep

// A configuration as the TOML file that would bring it about.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/settings/configuration.h"
#include "server/settings/settings.h"
#include "server/settings/toml_file.h"

namespace halfstep {
namespace {

std::string Quoted(const std::string& text) { return TomlQuoted(text); }

// The right side of `key = `.
std::string TomlValue(const Setting& setting,
                      const std::vector<std::string>& texts) {
  switch (setting.kind) {
    case SettingKind::kCount:
    case SettingKind::kSeconds:
    case SettingKind::kSwitch:
      return texts.front();
    case SettingKind::kSize: {
      const std::string& text = texts.front();
      const bool is_number =
          text.find_first_not_of("0123456789") == std::string::npos;
      return is_number ? text : Quoted(text);
    }
    case SettingKind::kMode:
    case SettingKind::kText:
    case SettingKind::kPath:
      return Quoted(texts.front());
    case SettingKind::kList:
      return absl::StrCat(
          "[",
          absl::StrJoin(texts, ", ",
                        [](std::string* out, const std::string& text) {
                          absl::StrAppend(out, Quoted(text));
                        }),
          "]");
  }
  return "";
}

}  // namespace

std::string ToToml(const Configuration& configuration) {
  std::string toml;
  std::string group;
  for (const Setting& setting : Settings()) {
    if (setting.group != group) {
      group = setting.group;
      absl::StrAppend(&toml, toml.empty() ? "" : "\n", "# ", group, "\n");
    }
    const std::vector<std::string> given =
        TextsOf(setting, configuration.given);
    const std::vector<std::string> resolved =
        TextsOf(setting, configuration.resolved);
    absl::StrAppend(&toml, setting.key, " = ", TomlValue(setting, given),
                    "  # ", configuration.sources.at(setting.key).name);
    if (given != resolved) {
      absl::StrAppend(&toml, "; here ", absl::StrJoin(resolved, ", "));
    }
    toml += '\n';
  }
  return toml;
}

}  // namespace halfstep

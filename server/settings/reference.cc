#include "server/settings/reference.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "server/settings/settings.h"

namespace halfstep {
namespace {

std::string Code(absl::string_view text) {
  return absl::StrCat("`", text, "`");
}

std::string Row(const Setting& setting) {
  const std::string placeholder = PlaceholderOf(setting);
  const std::string flag = absl::StrCat(
      FlagOf(setting), placeholder.empty() ? "" : " ", placeholder);
  const std::string value = DefaultText(setting);
  std::string meaning = setting.description;
  if (!setting.choices.empty()) {
    absl::StrAppend(
        &meaning, ": ",
        absl::StrJoin(setting.choices, ", ",
                      [](std::string* out, const std::string& choice) {
                        absl::StrAppend(out, Code(choice));
                      }));
  }
  // A bar would end the cell.
  meaning = absl::StrReplaceAll(meaning, {{"|", "\\|"}});
  return absl::StrCat("| ", Code(flag), setting.reloads ? " ↻" : "", " | ",
                      Code(VariableOf(setting)), " | ",
                      value.empty() ? "" : Code(value), " | ", meaning, " |\n");
}

}  // namespace

std::string ReferenceTables() {
  std::string text;
  std::string group;
  for (const Setting& setting : Settings()) {
    if (setting.group != group) {
      group = setting.group;
      absl::StrAppend(&text, text.empty() ? "" : "\n", "### ", group, "\n\n",
                      "| flag | variable | default | |\n|---|---|---|---|\n");
    }
    text += Row(setting);
  }
  return text;
}

}  // namespace halfstep

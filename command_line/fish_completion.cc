#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "command_line/completion.h"

namespace halfstep::command_line {
namespace {

// In fish's single quotes a backslash escapes itself and a quote.
std::string Quoted(absl::string_view text) {
  return absl::StrCat(
      "'", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"'", "\\'"}}), "'");
}

std::string Rule(const std::string& program, const std::string& condition,
                 const Option& option) {
  std::string text = absl::StrCat("complete -c ", program);
  if (!condition.empty()) absl::StrAppend(&text, " -n ", Quoted(condition));
  for (const std::string& name : option.names) {
    const bool is_long = name.rfind("--", 0) == 0;
    absl::StrAppend(&text, is_long ? " -l " : " -s ",
                    name.substr(is_long ? 2 : 1));
  }
  if (option.takes_file) {
    // A file of the one argument that stands alone needs no value.
    absl::StrAppend(&text, option.names.empty() ? " -F" : " -r -F");
  } else if (!option.choices.empty()) {
    absl::StrAppend(&text, " -x -a ",
                    Quoted(absl::StrJoin(option.choices, " ")));
  } else if (!option.placeholder.empty()) {
    absl::StrAppend(&text, " -x");
  }
  return absl::StrCat(text, " -d ", Quoted(option.description), "\n");
}

}  // namespace

std::string FishCompletion(const Program& program) {
  std::string text = absl::StrCat(
      "# fish completion of ", program.name,
      ", written by the program itself\ncomplete -c ", program.name, " -f\n");
  for (const Option& option : program.options) {
    text += Rule(program.name, "", option);
  }
  for (const Program& command : program.commands) {
    absl::StrAppend(&text, "complete -c ", program.name,
                    " -n __fish_use_subcommand -a ", command.name, " -d ",
                    Quoted(command.description), "\n");
    for (const Option& option : command.options) {
      text += Rule(program.name,
                   absl::StrCat("__fish_seen_subcommand_from ", command.name),
                   option);
    }
  }
  return text;
}

}  // namespace halfstep::command_line

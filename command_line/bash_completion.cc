#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "command_line/completion.h"

namespace halfstep::command_line {
namespace {

constexpr char kFiles[] =
    "compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "
    "\"$current\")";

std::string Words(const std::vector<std::string>& words) {
  return absl::StrCat("mapfile -t COMPREPLY < <(compgen -W ",
                      ShellQuoted(absl::StrJoin(words, " ")),
                      " -- \"$current\")");
}

// One line of `case $previous`: what may follow an option that takes a value.
std::string ValueCase(const Option& option) {
  const std::string action = option.takes_file         ? kFiles
                             : !option.choices.empty() ? Words(option.choices)
                                                       : ":";
  return absl::StrCat("        ", absl::StrJoin(option.names, "|"), ") ",
                      action, "; return ;;\n");
}

// The body of one branch of `case $command`.
std::string Branch(const Program& program, const std::vector<Option>& outer) {
  std::vector<Option> flags = Flags(program);
  flags.insert(flags.end(), outer.begin(), outer.end());
  std::string text = "      case $previous in\n";
  std::vector<std::string> names;
  for (const Option& flag : flags) {
    names.insert(names.end(), flag.names.begin(), flag.names.end());
    if (!flag.placeholder.empty()) text += ValueCase(flag);
  }
  absl::StrAppend(&text, "      esac\n      if [[ $current == -* ]]; then\n",
                  "        ", Words(names), "\n");
  std::vector<std::string> words;  // that may stand alone
  for (const Program& command : program.commands) {
    words.push_back(command.name);
  }
  bool takes_files = false;
  for (const Option& argument : Arguments(program)) {
    takes_files = takes_files || argument.takes_file;
    words.insert(words.end(), argument.choices.begin(), argument.choices.end());
  }
  if (!words.empty()) {
    absl::StrAppend(&text, "      else\n        ", Words(words), "\n");
  } else if (takes_files) {
    absl::StrAppend(&text, "      else\n        ", kFiles, "\n");
  }
  return absl::StrCat(text, "      fi\n");
}

}  // namespace

std::string FunctionName(const Program& program) {
  return absl::StrCat("_", absl::StrReplaceAll(program.name, {{"-", "_"}}));
}

std::string ShellQuoted(absl::string_view text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

std::string BashCompletion(const Program& program) {
  std::vector<std::string> names;
  std::string branches;
  for (const Program& command : program.commands) {
    names.push_back(command.name);
    absl::StrAppend(&branches, "    ", command.name, ")\n",
                    Branch(command, Flags(program)), "      ;;\n");
  }
  absl::StrAppend(&branches, "    *)\n", Branch(program, {}), "      ;;\n");
  const std::string function = FunctionName(program);
  std::string text =
      absl::StrCat("# bash completion of ", program.name,
                   ", written by the program itself\n", function, "() {\n",
                   "  local current=${COMP_WORDS[COMP_CWORD]} command='' word\n"
                   "  local previous=${COMP_WORDS[COMP_CWORD-1]}\n"
                   "  COMPREPLY=()\n"
                   "  # --option=value comes as three words.\n"
                   "  if [[ $current == = ]]; then\n"
                   "    current=''\n"
                   "  elif [[ $previous == = ]]; then\n"
                   "    previous=${COMP_WORDS[COMP_CWORD-2]}\n"
                   "  fi\n");
  if (!names.empty()) {
    absl::StrAppend(&text,
                    "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
                    "    case $word in\n      ",
                    absl::StrJoin(names, "|"),
                    ") command=$word; break ;;\n"
                    "    esac\n  done\n");
  }
  return absl::StrCat(text, "  case $command in\n", branches,
                      "  esac\n}\ncomplete -F ", function, " ", program.name,
                      "\n");
}

std::optional<std::string> Completion(absl::string_view shell,
                                      const Program& program) {
  if (shell == "bash") return BashCompletion(program);
  if (shell == "zsh") return ZshCompletion(program);
  if (shell == "fish") return FishCompletion(program);
  return std::nullopt;
}

}  // namespace halfstep::command_line

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "command_line/completion.h"

namespace halfstep::command_line {
namespace {

// As _arguments reads descriptions: in brackets, with colons between parts.
std::string Escaped(absl::string_view text) {
  return absl::StrReplaceAll(
      text, {{"\\", "\\\\"}, {"[", "\\["}, {"]", "\\]"}, {":", "\\:"}});
}

// ":SIZE:" and what completes a value; empty for a switch.
std::string Value(const Option& option) {
  if (option.placeholder.empty()) return "";
  const std::string action =
      option.takes_file ? "_files"
      : !option.choices.empty()
          ? absl::StrCat("(", absl::StrJoin(option.choices, " "), ")")
          : " ";
  return absl::StrCat(":", Escaped(option.placeholder), ":", action);
}

// The lines of an option for _arguments, each with ` \` at its end.
std::string Specification(const Option& option) {
  std::string text;
  for (const std::string& name : option.names) {
    // Another name of the same option is not offered beside it.
    const std::string others =
        option.repeats
            ? "*"
            : absl::StrCat("(", absl::StrJoin(option.names, " "), ")");
    const bool is_long = name.rfind("--", 0) == 0;
    const std::string spec =
        absl::StrCat(others, name,
                     option.placeholder.empty() ? ""
                     : is_long                  ? "="
                                                : "+",
                     "[", Escaped(option.description), "]", Value(option));
    absl::StrAppend(&text, "    ", ShellQuoted(spec), " \\\n");
  }
  if (option.names.empty()) {
    absl::StrAppend(&text, "    ",
                    ShellQuoted(absl::StrCat("*", Value(option))), " \\\n");
  }
  return text;
}

std::string Arguments(const Program& program,
                      const std::vector<Option>& outer) {
  std::string text;
  for (const Option& option : program.options) text += Specification(option);
  for (const Option& option : outer) text += Specification(option);
  return text;
}

}  // namespace

std::string ZshCompletion(const Program& program) {
  // Named like the file on fpath, which becomes the function at the first Tab.
  const std::string function = absl::StrCat("_", program.name);
  std::string text =
      absl::StrCat("#compdef ", program.name, "\n# zsh completion of ",
                   program.name, ", written by the program itself\n");
  std::string names;
  std::string branches;
  for (const Program& command : program.commands) {
    const std::string inner = absl::StrCat(function, FunctionName(command));
    absl::StrAppend(&text, inner, "() {\n  _arguments \\\n",
                    Arguments(command, Flags(program)), "    && return\n}\n");
    absl::StrAppend(&names, "        ",
                    ShellQuoted(absl::StrCat(Escaped(command.name), ":",
                                             command.description)),
                    "\n");
    absl::StrAppend(&branches, "        ", command.name, ") ", inner, " ;;\n");
  }
  absl::StrAppend(&text, function,
                  "() {\n"
                  "  local context state state_descr line\n"
                  "  typeset -A opt_args\n"
                  "  _arguments -C \\\n",
                  Arguments(program, {}));
  if (program.commands.empty()) {
    absl::StrAppend(&text, "    && return\n");
  } else {
    absl::StrAppend(&text,
                    "    '1:command:->command' \\\n"
                    "    '*::argument:->argument' && return\n"
                    "  case $state in\n"
                    "    command)\n"
                    "      local -a commands=(\n",
                    names,
                    "      )\n"
                    "      _describe command commands\n"
                    "      ;;\n"
                    "    argument)\n"
                    "      case $line[1] in\n",
                    branches, "      esac\n      ;;\n  esac\n");
  }
  // That first time it has to do the work, too; sourced it has to be told of.
  return absl::StrCat(text, "}\nif [[ $funcstack[1] == ", function,
                      " ]]; then\n  ", function, " \"$@\"\nelse\n  compdef ",
                      function, " ", program.name, "\nfi\n");
}

}  // namespace halfstep::command_line

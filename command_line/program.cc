#include "command_line/program.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace halfstep::command_line {
namespace {

// CLI11 writes a type and what its validators ask for: "TEXT:{red,green}".
std::vector<std::string> Choices(const std::string& type) {
  const size_t begin = type.find('{');
  const size_t end = type.find('}');
  if (begin == std::string::npos || end == std::string::npos) return {};
  return absl::StrSplit(type.substr(begin + 1, end - begin - 1), ',');
}

Option DescribeOption(const CLI::Option& option) {
  Option described;
  for (const std::string& name : option.get_snames()) {
    described.names.push_back(absl::StrCat("-", name));
  }
  for (const std::string& name : option.get_lnames()) {
    described.names.push_back(absl::StrCat("--", name));
  }
  const std::string type = option.get_type_name();
  if (option.get_items_expected_max() > 0) {
    // A text of a single blank hides what CLI11 would say.
    const std::string& text = option.get_option_text();
    described.placeholder =
        text.empty() ? type.substr(0, type.find(':')) : text;
    described.choices = Choices(type);
    described.takes_file = type == "FILE" || absl::StartsWith(type, "FILE:") ||
                           described.placeholder == "FILE";
  }
  described.variable = option.get_envname();
  described.description = option.get_description();
  described.group = option.get_group();
  described.repeats =
      option.get_multi_option_policy() == CLI::MultiOptionPolicy::TakeAll;
  return described;
}

}  // namespace

Program Describe(const CLI::App& app) {
  Program program = {.name = app.get_name(),
                     .description = app.get_description(),
                     .footer = app.get_footer(),
                     .options = {},
                     .commands = {}};
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_group().empty()) {
      program.options.push_back(DescribeOption(*option));
    }
  }
  // CLI11 lists every subcommand only to those who filter.
  const auto all = [](const CLI::App* /*command*/) { return true; };
  for (const CLI::App* command : app.get_subcommands(all)) {
    if (command->get_name().empty()) {  // an option group
      const std::vector<Option> options = Describe(*command).options;
      program.options.insert(program.options.end(), options.begin(),
                             options.end());
    } else if (!command->get_group().empty()) {
      program.commands.push_back(Describe(*command));
    }
  }
  return program;
}

std::vector<Option> Flags(const Program& program) {
  std::vector<Option> flags;
  std::copy_if(program.options.begin(), program.options.end(),
               std::back_inserter(flags),
               [](const Option& option) { return !option.names.empty(); });
  return flags;
}

std::vector<Option> Arguments(const Program& program) {
  std::vector<Option> arguments;
  std::copy_if(program.options.begin(), program.options.end(),
               std::back_inserter(arguments),
               [](const Option& option) { return option.names.empty(); });
  return arguments;
}

}  // namespace halfstep::command_line

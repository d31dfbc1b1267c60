// What a program's command line consists of, taken from its CLI11 description:
// the one source of --help, shell completion and man pages.
#ifndef HALFSTEP_COMMAND_LINE_PROGRAM_H_
#define HALFSTEP_COMMAND_LINE_PROGRAM_H_

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace halfstep::command_line {

struct Option {
  std::vector<std::string> names;  // "-o", "--output"; none: an argument
  std::string placeholder;         // what --help calls its value; empty: none
  std::string variable;            // that sets it, too; empty: none
  std::string description;
  std::string group;
  std::vector<std::string> choices;  // the only values; empty: any
  bool takes_file = false;           // a value names a file
  bool repeats = false;              // may be given several times
};

// A program, or one of its subcommands.
struct Program {
  std::string name;
  std::string description;
  std::string footer;
  std::vector<Option> options;    // those that --help shows
  std::vector<Program> commands;  // the same
};

// An option takes a file if its CLI11 type or its placeholder is FILE; its
// choices are those of CLI::IsMember.
Program Describe(const CLI::App& app);

// The options of `program` that take a value or a switch, and those that are
// arguments.
std::vector<Option> Flags(const Program& program);
std::vector<Option> Arguments(const Program& program);

}  // namespace halfstep::command_line

#endif  // HALFSTEP_COMMAND_LINE_PROGRAM_H_

// Completion scripts for shells, generated from a program's own description.
#ifndef HALFSTEP_COMMAND_LINE_COMPLETION_H_
#define HALFSTEP_COMMAND_LINE_COMPLETION_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "command_line/program.h"

namespace halfstep::command_line {

// Options of `program` itself are completed behind each of its commands, too:
// CLI11's fallthrough.
std::string BashCompletion(const Program& program);
std::string ZshCompletion(const Program& program);
std::string FishCompletion(const Program& program);

// One of these by the shell's name; nothing for another name.
std::optional<std::string> Completion(absl::string_view shell,
                                      const Program& program);

// The name of the function that completes `program`: _halfstep_server.
std::string FunctionName(const Program& program);

// `text` in single quotes, as POSIX shells read them.
std::string ShellQuoted(absl::string_view text);

}  // namespace halfstep::command_line

#endif  // HALFSTEP_COMMAND_LINE_COMPLETION_H_

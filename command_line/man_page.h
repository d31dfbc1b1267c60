// A man page, generated from a program's own description.
#ifndef HALFSTEP_COMMAND_LINE_MAN_PAGE_H_
#define HALFSTEP_COMMAND_LINE_MAN_PAGE_H_

#include <string>

#include "command_line/program.h"

namespace halfstep::command_line {

struct ManPage {
  int section = 1;       // 1: commands; 8: servers
  std::string version;   // of the program
  std::string date;      // of that version: 2026-11-24
  std::string summary;   // of NAME: one line, without a full stop
  std::string see_also;  // "halfstep-server(8)"
};

// The page in roff, with the macros of man(7). A paragraph of the footer whose
// first line is a heading ("Exit codes:") becomes a section of that name.
std::string ToRoff(const Program& program, const ManPage& page);

}  // namespace halfstep::command_line

#endif  // HALFSTEP_COMMAND_LINE_MAN_PAGE_H_

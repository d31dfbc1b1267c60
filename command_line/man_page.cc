#include "command_line/man_page.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace halfstep::command_line {
namespace {

// `text` as roff prints it literally: a minus that can be copied into a shell,
// no escapes, no requests.
std::string Literal(absl::string_view text) {
  std::string literal = absl::StrReplaceAll(text, {{"\\", "\\e"},
                                                   {"-", "\\-"},
                                                   {"`", "\\(ga"},
                                                   {"'", "\\(aq"},
                                                   {"^", "\\(ha"},
                                                   {"~", "\\(ti"}});
  if (!literal.empty() && literal[0] == '.') literal.insert(0, "\\&");
  return literal;
}

// `text` as a paragraph of lines that an editor shows whole.
std::string Filled(absl::string_view text) {
  constexpr size_t kColumnsMax = 72;
  std::string filled;
  size_t columns = 0;
  for (const absl::string_view word :
       absl::StrSplit(text, ' ', absl::SkipEmpty())) {
    const std::string literal = Literal(word);
    const bool fits = columns + literal.size() < kColumnsMax;
    absl::StrAppend(&filled, columns == 0 ? "" : fits ? " " : "\n", literal);
    columns = (fits ? columns + 1 : 0) + literal.size();
  }
  return filled;
}

std::string Bold(absl::string_view text) {
  return absl::StrCat("\\fB", Literal(text), "\\fR");
}

std::string Italic(absl::string_view text) {
  return absl::StrCat("\\fI", Literal(text), "\\fR");
}

// `-o`, `--output` OUTPUT, and below it what it does.
std::string Entry(const Option& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.names) names.push_back(Bold(name));
  std::string text = absl::StrCat(".TP\n", absl::StrJoin(names, ", "));
  const absl::string_view placeholder =
      absl::StripAsciiWhitespace(option.placeholder);
  if (!placeholder.empty()) {
    absl::StrAppend(&text, names.empty() ? "" : " ", Italic(placeholder));
  }
  return absl::StrCat(text, "\n", Filled(option.description), "\n");
}

// Options by group, each group under a heading unless it is CLI11's own.
std::string Entries(const Program& program, const char* heading) {
  std::vector<std::string> groups;
  for (const Option& option : program.options) {
    if (std::find(groups.begin(), groups.end(), option.group) == groups.end()) {
      groups.push_back(option.group);
    }
  }
  std::string text;
  for (const std::string& group : groups) {
    if (group != "Options" && group != "Positionals") {
      absl::StrAppend(&text, heading, Literal(group), "\n");
    }
    for (const Option& option : program.options) {
      if (option.group == group) text += Entry(option);
    }
  }
  return text;
}

// Lines as they are.
std::string Verbatim(const std::vector<std::string>& lines) {
  std::string text = ".nf\n";
  for (const std::string& line : lines) {
    absl::StrAppend(&text, line.empty() ? "\\&" : Literal(line), "\n");
  }
  return absl::StrCat(text, ".fi\n");
}

// The paragraphs of a footer: with its heading as a section of the page, or
// below a command as paragraphs of it.
enum class Place { kPage, kCommand };

std::string Footer(const std::string& footer, Place place) {
  std::string text;
  for (const std::string& paragraph :
       std::vector<std::string>(absl::StrSplit(footer, "\n\n"))) {
    std::vector<std::string> lines = absl::StrSplit(paragraph, '\n');
    if (place == Place::kCommand) {
      text += ".PP\n";
    } else {
      const bool has_title = absl::EndsWith(lines.front(), ":");
      absl::StrAppend(&text, ".SH ",
                      has_title ? Literal(absl::AsciiStrToUpper(
                                      absl::StripSuffix(lines.front(), ":")))
                                : "NOTES",
                      "\n");
      if (has_title) lines.erase(lines.begin());
    }
    text += Verbatim(lines);
  }
  return text;
}

std::string Synopsis(const Program& program, const std::string& name) {
  std::string text =
      absl::StrCat(".B ", Literal(name), "\n[\\fIOPTIONS\\fR]\n");
  for (const Option& argument : Arguments(program)) {
    absl::StrAppend(&text, "[", Italic(argument.placeholder), "]\n");
  }
  if (!program.commands.empty()) absl::StrAppend(&text, "\\fICOMMAND\\fR\n");
  return text;
}

std::string Environment(const Program& program) {
  std::string text;
  for (const Option& option : program.options) {
    if (option.variable.empty()) continue;
    absl::StrAppend(&text, ".TP\n", Bold(option.variable), "\nInstead of ",
                    Bold(option.names.back()), ".\n");
  }
  return text.empty() ? "" : absl::StrCat(".SH ENVIRONMENT\n", text);
}

}  // namespace

std::string ToRoff(const Program& program, const ManPage& page) {
  std::string text = absl::StrCat(
      ".\\\" Written by ", program.name, " itself.\n.TH ",
      Literal(absl::AsciiStrToUpper(program.name)), " ", page.section, " \"",
      page.date, "\" \"Halfstep ", page.version, "\"\n.SH NAME\n",
      Literal(program.name), " \\- ", Literal(page.summary), "\n.SH SYNOPSIS\n",
      Synopsis(program, program.name), ".SH DESCRIPTION\n",
      Filled(absl::StrReplaceAll(program.description, {{"\n", " "}})), "\n");
  absl::StrAppend(&text, ".SH OPTIONS\n", Entries(program, ".SS "));
  if (!program.commands.empty()) absl::StrAppend(&text, ".SH COMMANDS\n");
  for (const Program& command : program.commands) {
    const std::string name = absl::StrCat(program.name, " ", command.name);
    absl::StrAppend(&text, ".SS ", Literal(name), "\n",
                    Filled(command.description), ".\n.PP\n",
                    Synopsis(command, name), Entries(command, ".PP\n"),
                    Footer(command.footer, Place::kCommand));
  }
  absl::StrAppend(&text, Environment(program),
                  Footer(program.footer, Place::kPage));
  return absl::StrCat(text, ".SH SEE ALSO\n", page.see_also, "\n");
}

}  // namespace halfstep::command_line

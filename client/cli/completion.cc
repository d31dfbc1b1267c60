// halfstep completion: what completes the command in a shell. And a hidden
// command that prints its man page, for the build.
#include "command_line/completion.h"

#include <iostream>
#include <memory>
#include <string>

#include "client/cli/command.h"
#include "command_line/man_page.h"
#include "command_line/program.h"
#include "server/version.h"

namespace halfstep::cli {

void AddCompletion(Commands& commands, const CLI::App& app) {
  auto shell = std::make_shared<std::string>();
  CLI::App* command = commands.Add(
      "completion", "Print what completes this command in a shell",
      "  source <(halfstep completion bash)\n"
      "  halfstep completion zsh > ~/.zfunc/_halfstep\n"
      "  halfstep completion fish > ~/.config/fish/completions/halfstep.fish",
      [shell, &app](const GlobalOptions& /*globals*/) {
        std::cout << command_line::Completion(*shell,
                                              command_line::Describe(app))
                         .value_or("");
        return ExitCode::kDone;
      });
  command->add_option("shell", *shell, "Which shell")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}))
      ->option_text("{bash,zsh,fish}");
}

void AddManPage(Commands& commands, const CLI::App& app) {
  CLI::App* command =
      commands.Add("man-page", "Print the man page in roff",
                   "  halfstep man-page | man -l -",
                   [&app](const GlobalOptions& /*globals*/) {
                     std::cout << command_line::ToRoff(
                         command_line::Describe(app),
                         {.section = 1,
                          .version = std::string(kVersion),
                          .date = std::string(kVersionDate),
                          .summary = "quantize tensors with a Halfstep server",
                          .see_also = ".BR halfstep\\-server (8)"});
                     return ExitCode::kDone;
                   });
  command->group("");  // not in --help
}

}  // namespace halfstep::cli

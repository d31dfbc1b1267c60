// The server's command line.
#ifndef HALFSTEP_SERVER_SETTINGS_FLAGS_H_
#define HALFSTEP_SERVER_SETTINGS_FLAGS_H_

#include <optional>

#include "server/settings/configuration.h"

namespace halfstep {

// Exit codes of the server.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;  // could not start
inline constexpr int kExitUsage = 2;   // a flag or its value is not known
inline constexpr int kExitConfiguration = 78;  // EX_CONFIG of sysexits.h

struct CommandLine {
  Sources sources;
  Configuration configuration;
};

// Reads the command line and the sources it names, and pins the instruction set
// if told to.
//
// Returns the exit code if the program is to end here, after writing help, the
// version, the configuration or one line of what is wrong.
std::optional<int> ParseCommandLine(int argc, const char* const* argv,
                                    CommandLine& result);

// The exit code for a status of Configure or of CheckFiles.
int ExitCodeOf(const absl::Status& status);

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_SETTINGS_FLAGS_H_

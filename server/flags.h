// The server's command line and environment variables.
#ifndef HALFSTEP_SERVER_FLAGS_H_
#define HALFSTEP_SERVER_FLAGS_H_

#include <optional>

#include "server/options.h"

namespace halfstep {

// Exit codes of the server.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;  // could not start
inline constexpr int kExitUsage = 2;   // a flag or its value is not known

// Sets `options` from flags and HALFSTEP_... variables; a flag wins. Also pins
// the instruction set if told to.
//
// Returns the exit code if the program is to end here, after writing help, the
// version or one line of what is wrong.
std::optional<int> ParseFlags(int argc, const char* const* argv,
                              ServerOptions& options);

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_FLAGS_H_

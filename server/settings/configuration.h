// The settings of one server, from all sources together, and where each comes
// from: flags over HALFSTEP_... variables over a TOML file over defaults.
#ifndef HALFSTEP_SERVER_SETTINGS_CONFIGURATION_H_
#define HALFSTEP_SERVER_SETTINGS_CONFIGURATION_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/options.h"

namespace halfstep {

enum class SourceKind { kDefault, kFile, kVariable, kFlag };

struct Source {
  SourceKind kind = SourceKind::kDefault;
  // How an error names the setting there, and --print-config its source:
  // "halfstep.toml:3: threads", "HALFSTEP_THREADS", "--threads".
  std::string name;
};

// What was written where, before any of it is looked at.
struct Sources {
  // Keys with the texts that flags gave them.
  std::map<std::string, std::vector<std::string>> flags;
  // Variables as in environ: NAME=VALUE. Only HALFSTEP_ ones are looked at.
  std::vector<std::string> variables;
  // The TOML file; empty: none.
  std::string file;
};

struct Configuration {
  ServerOptions given;     // as written, with defaults for what was not
  ServerOptions resolved;  // what the server goes by
  std::map<std::string, Source> sources;  // one for each setting, by key
};

// Puts `sources` together. The message of an error is one line that names the
// source at fault and what must be there. INVALID_ARGUMENT if that source is a
// flag alone; FAILED_PRECONDITION if the file or a variable is wrong, or if
// settings contradict each other.
absl::StatusOr<Configuration> Configure(const Sources& sources);

// `message` with each flag that was not given as a flag called what it is
// called where it was given: a fault of --threads from a file names file and
// line.
std::string WithSources(absl::string_view message,
                        const Configuration& configuration);

// The configuration as a TOML file, with the source of each value as a comment.
// Values of secrets are not among the settings; paths of theirs are.
std::string ToToml(const Configuration& configuration);

// Keys whose values differ between `a` and `b`, as written.
std::vector<std::string> ChangedKeys(const Configuration& a,
                                     const Configuration& b);

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_SETTINGS_CONFIGURATION_H_

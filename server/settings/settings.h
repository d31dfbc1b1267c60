// The settings of halfstep-server: one table, from which flags, variables,
// keys of the TOML file, --help, --print-config, completion, the man page and
// docs/operations.md come.
//
// A setting `max_message_bytes` is the flag --max-message-bytes, the variable
// HALFSTEP_MAX_MESSAGE_BYTES and the key max_message_bytes. Its default and its
// meaning stand in server/options.h, its range in Resolve.
#ifndef HALFSTEP_SERVER_SETTINGS_SETTINGS_H_
#define HALFSTEP_SERVER_SETTINGS_SETTINGS_H_

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/options.h"

namespace halfstep {

// What may be written for a setting.
enum class SettingKind {
  kSize,     // bytes: 65536, 64KiB, 1GB
  kCount,    // a whole number
  kSeconds,  // 1.5, 250ms, 1m; inf where there may be no end
  kSwitch,   // true or false; a flag alone means true
  kMode,     // of a file: 0660
  kText,
  kPath,  // of a file
  kList,  // texts; separated by commas where there is but one text
};

// Where a setting lives in ServerOptions. kSize, kCount and kMode take numbers,
// kSeconds a duration, kSwitch a bool, kText and kPath a string, kList a list.
using SettingField =
    std::variant<uint64_t*, uint32_t*, int*, absl::Duration*, bool*,
                 std::string*, std::vector<std::string>*>;

struct Setting {
  std::string key;
  // Heading in --help and in docs/operations.md. Settings of one group stand
  // beside each other.
  std::string group;
  SettingKind kind = SettingKind::kText;
  // One line, without a full stop at its end.
  std::string description;
  SettingField (*field)(ServerOptions&) = nullptr;
  // Whether SIGHUP changes it in a server that runs.
  bool reloads = false;
  // The only texts allowed; empty: any.
  std::vector<std::string> choices = {};
  // What --help calls a value; empty: what its kind is called.
  std::string placeholder = "";
  // How the default is told where it is not the same on every machine.
  std::string default_text = "";
};

// The options of halfstep-server when it is told nothing: those of
// server/options.h and one address.
ServerOptions DefaultOptions();

// In the order in which they are shown.
const std::vector<Setting>& Settings();

// The setting that has `key`, or null.
const Setting* FindSetting(absl::string_view key);

std::string FlagOf(const Setting& setting);      // --max-message-bytes
std::string VariableOf(const Setting& setting);  // HALFSTEP_MAX_MESSAGE_BYTES

// What --help calls a value: SIZE, COUNT, FILE; empty for a switch.
std::string PlaceholderOf(const Setting& setting);

// Puts `texts` into the field of `setting`. INVALID_ARGUMENT, saying what they
// are and what they must be, but not where they stand. More than one text is
// for kList alone.
absl::Status SetFromText(const Setting& setting,
                         const std::vector<std::string>& texts,
                         ServerOptions& options);

// The value as texts that SetFromText takes back; one unless it is a kList.
std::vector<std::string> TextsOf(const Setting& setting,
                                 const ServerOptions& options);

// The default, as shown to people.
std::string DefaultText(const Setting& setting);

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_SETTINGS_SETTINGS_H_

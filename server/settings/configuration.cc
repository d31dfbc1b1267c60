#include "server/settings/configuration.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <regex>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "server/settings/settings.h"
#include "server/settings/toml_file.h"

namespace halfstep {
namespace {

constexpr absl::string_view kPrefix = "HALFSTEP_";

// Variables that begin like ours and are none of the server's settings.
bool IsSomebodyElses(absl::string_view name) {
  constexpr std::array<absl::string_view, 11> kNames = {
      // Read by server/settings/flags.
      "HALFSTEP_CONFIG", "HALFSTEP_SIMD_TARGET",
      // The command line client's.
      "HALFSTEP_SERVER", "HALFSTEP_TIMEOUT",
      // What the tests are told: where the tree, our programs and others are,
      // and what must not be skipped.
      "HALFSTEP_ROOT", "HALFSTEP_BIN", "HALFSTEP_CHROMIUM",
      "HALFSTEP_CONFORMANCE_SEED", "HALFSTEP_CONFORMANCE_OUT",
      "HALFSTEP_ADDRESS", "HALFSTEP_REQUIRE_CONTAINERS"};
  if (absl::StartsWith(name, "HALFSTEP_CLIENT_") ||
      std::find(kNames.begin(), kNames.end(), name) != kNames.end()) {
    return true;
  }
  // What Kubernetes sets in every container for a Service called halfstep or
  // halfstep-something, and Docker for a link.
  static const auto* const kService = new std::regex(
      "HALFSTEP_(.*_)?(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT"
      "|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)");
  return std::regex_match(std::string(name), *kService);
}

// Edits that turn `a` into `b`: letters put in, taken out or changed.
size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t changed = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({changed, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

// The setting that somebody who wrote `key` may have meant, or null: one that
// another third of its letters would make.
const Setting* Nearest(absl::string_view key) {
  const auto nearest = std::min_element(
      Settings().begin(), Settings().end(),
      [key](const Setting& a, const Setting& b) {
        return EditDistance(key, a.key) < EditDistance(key, b.key);
      });
  return EditDistance(key, nearest->key) * 3 <= key.size() ? &*nearest
                                                           : nullptr;
}

std::string NoSuchKey(absl::string_view key) {
  const Setting* const nearest = Nearest(key);
  return nearest == nullptr
             ? "no such setting; must be one that --print-config lists"
             : absl::StrCat("no such setting; must be ", nearest->key,
                            ", perhaps; --print-config lists all");
}

absl::Status Refused(absl::string_view source, absl::string_view fault) {
  return absl::FailedPreconditionError(absl::StrCat(source, ": ", fault));
}

// The fault of an entry whose type is not what its setting takes; empty: none.
std::string TypeFault(const Setting& setting, const TomlEntry& entry) {
  using Type = TomlEntry::Type;
  const auto is = [&entry](std::initializer_list<Type> allowed) {
    return std::find(allowed.begin(), allowed.end(), entry.type) !=
           allowed.end();
  };
  switch (setting.kind) {
    case SettingKind::kSize:
      return is({Type::kInteger, Type::kText})
                 ? ""
                 : "must be a size: 65536 or \"64KiB\"";
    case SettingKind::kCount:
      return is({Type::kInteger}) ? "" : "must be a whole number";
    case SettingKind::kSeconds:
      return is({Type::kInteger, Type::kFloat, Type::kText})
                 ? ""
                 : "must be seconds: 1.5 or \"250ms\"";
    case SettingKind::kSwitch:
      return is({Type::kBool}) ? "" : "must be true or false, without quotes";
    case SettingKind::kMode:
    case SettingKind::kText:
    case SettingKind::kPath:
      return is({Type::kText}) ? "" : "must be a text in quotes";
    case SettingKind::kList:
      return is({Type::kList, Type::kText})
                 ? ""
                 : "must be a list of texts: [\"a\", \"b\"]";
  }
  return "";
}

absl::Status TakeFile(const std::string& path, Configuration& result) {
  const absl::StatusOr<std::vector<TomlEntry>> entries = ReadTomlFile(path);
  if (!entries.ok()) {
    return absl::FailedPreconditionError(entries.status().message());
  }
  for (const TomlEntry& entry : *entries) {
    const std::string name =
        absl::StrCat(path, ":", entry.line, ": ", entry.key);
    const Setting* const setting = FindSetting(entry.key);
    if (setting == nullptr) {
      return Refused(name, NoSuchKey(entry.key));
    }
    if (const std::string fault = TypeFault(*setting, entry); !fault.empty()) {
      const std::string is = entry.texts.empty()
                                 ? "another type"
                                 : absl::StrJoin(entry.texts, ",");
      return Refused(name, absl::StrCat(is, "; ", fault));
    }
    if (absl::Status status = SetFromText(*setting, entry.texts, result.given);
        !status.ok()) {
      return Refused(name, status.message());
    }
    result.sources[setting->key] = {SourceKind::kFile, name};
  }
  return absl::OkStatus();
}

absl::Status TakeVariables(const std::vector<std::string>& variables,
                           Configuration& result) {
  for (const std::string& variable : variables) {
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(variable, absl::MaxSplits('=', 1));
    const auto& [name, value] = parts;
    // An empty variable is one that is not set, as compose files have it.
    if (!absl::StartsWith(name, kPrefix) || value.empty()) continue;
    const std::string key = absl::AsciiStrToLower(
        absl::StripPrefix(absl::string_view(name), kPrefix));
    const Setting* const setting = FindSetting(key);
    if (setting == nullptr || VariableOf(*setting) != name) {
      if (IsSomebodyElses(name)) continue;
      const Setting* const nearest = Nearest(key);
      return Refused(
          name, absl::StrCat("no such setting; must be ",
                             nearest == nullptr
                                 ? "HALFSTEP_ and a flag of --help"
                                 : absl::StrCat(VariableOf(*nearest),
                                                ", perhaps, or be unset")));
    }
    std::vector<std::string> texts = {value};
    if (setting->kind == SettingKind::kList) {
      texts = absl::StrSplit(value, ',', absl::SkipEmpty());
    }
    if (absl::Status status = SetFromText(*setting, texts, result.given);
        !status.ok()) {
      return Refused(name, status.message());
    }
    result.sources[key] = {SourceKind::kVariable, name};
  }
  return absl::OkStatus();
}

absl::Status TakeFlags(
    const std::map<std::string, std::vector<std::string>>& flags,
    Configuration& result) {
  for (const auto& [key, texts] : flags) {
    const Setting* const setting = FindSetting(key);
    if (setting == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(key, ": no such setting"));
    }
    const std::string name = FlagOf(*setting);
    if (absl::Status status = SetFromText(*setting, texts, result.given);
        !status.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": ", status.message()));
    }
    result.sources[key] = {SourceKind::kFlag, name};
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Configuration> Configure(const Sources& sources) {
  Configuration result;
  result.given = DefaultOptions();
  for (const Setting& setting : Settings()) {
    result.sources[setting.key] = {SourceKind::kDefault, "default"};
  }
  // From the weakest to the strongest.
  if (!sources.file.empty()) {
    absl::Status status = TakeFile(sources.file, result);
    if (!status.ok()) return status;
  }
  absl::Status status = TakeVariables(sources.variables, result);
  if (!status.ok()) return status;
  status = TakeFlags(sources.flags, result);
  if (!status.ok()) return status;
  absl::StatusOr<ServerOptions> resolved = Resolve(result.given);
  if (!resolved.ok()) {
    // If only flags are at fault, that is a mistake of usage.
    const std::string message =
        WithSources(resolved.status().message(), result);
    if (absl::IsInvalidArgument(resolved.status()) &&
        message == resolved.status().message()) {
      return absl::InvalidArgumentError(message);
    }
    return absl::FailedPreconditionError(message);
  }
  result.resolved = *std::move(resolved);
  return result;
}

std::string WithSources(absl::string_view message,
                        const Configuration& configuration) {
  std::string result;
  while (!message.empty()) {
    const size_t begin = std::min(message.find("--"), message.size());
    absl::StrAppend(&result, message.substr(0, begin));
    message.remove_prefix(begin);
    const size_t end = std::min(
        message.find_first_not_of("-abcdefghijklmnopqrstuvwxyz0123456789"),
        message.size());
    const absl::string_view word = message.substr(0, end);
    message.remove_prefix(end);
    const auto setting = std::find_if(
        Settings().begin(), Settings().end(),
        [word](const Setting& each) { return FlagOf(each) == word; });
    if (setting == Settings().end()) {
      absl::StrAppend(&result, word);
      continue;
    }
    const Source& source = configuration.sources.at(setting->key);
    absl::StrAppend(&result, source.kind == SourceKind::kDefault
                                 ? FlagOf(*setting)
                                 : source.name);
  }
  return result;
}

std::vector<std::string> ChangedKeys(const Configuration& a,
                                     const Configuration& b) {
  std::vector<std::string> keys;
  for (const Setting& setting : Settings()) {
    if (TextsOf(setting, a.given) != TextsOf(setting, b.given)) {
      keys.push_back(setting.key);
    }
  }
  return keys;
}

}  // namespace halfstep

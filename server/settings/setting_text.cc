// Values of settings, read from text and written as text.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "server/settings/settings.h"

namespace halfstep {
namespace {

using Kind = SettingKind;

absl::Status Refused(absl::string_view text, absl::string_view wanted) {
  return absl::InvalidArgumentError(
      absl::StrCat(text.empty() ? "empty" : text, "; must be ", wanted));
}

absl::Status ReadSize(const std::string& text, uint64_t& bytes) {
  constexpr char kWanted[] = "a size such as 65536, 64KiB or 1GB";
  std::string digits = text;
  try {
    static const CLI::AsSizeValue kAsSize(/*kb_is_1000=*/true);
    if (!kAsSize(digits).empty()) return Refused(text, kWanted);
  } catch (const CLI::Error&) {  // such as a number that does not fit
    return Refused(text, kWanted);
  }
  if (!absl::SimpleAtoi(digits, &bytes)) return Refused(text, kWanted);
  return absl::OkStatus();
}

absl::Status ReadMode(const std::string& text, uint32_t& mode) {
  constexpr absl::string_view kDigits = "01234567";
  if (text.empty() || text.size() > 5 ||
      absl::string_view(text).find_first_not_of(kDigits) !=
          absl::string_view::npos) {
    return Refused(text, "a mode in octal, such as 0660");
  }
  mode = 0;
  for (const char digit : text)
    mode = mode * 8 + static_cast<uint32_t>(digit - '0');
  return absl::OkStatus();
}

// Not to be negative is for Resolve to ask for: there a range has a name.
absl::Status ReadDuration(const std::string& text, absl::Duration& time) {
  double seconds = 0;
  if (absl::SimpleAtod(text, &seconds) && !std::isnan(seconds)) {
    time = absl::Seconds(seconds);
    return absl::OkStatus();
  }
  if (absl::ParseDuration(text, &time)) return absl::OkStatus();
  return Refused(text, "seconds, such as 1.5, 250ms or 2m");
}

absl::Status ReadSwitch(const std::string& text, bool& value) {
  if (absl::SimpleAtob(text, &value)) return absl::OkStatus();
  return Refused(text, "true or false");
}

absl::Status ReadText(const Setting& setting, const std::string& text,
                      std::string& value) {
  const std::vector<std::string>& choices = setting.choices;
  if (!choices.empty() &&
      std::find(choices.begin(), choices.end(), text) == choices.end()) {
    const std::string front =
        absl::StrJoin(choices.begin(), choices.end() - 1, ", ");
    return Refused(text, absl::StrCat(front, " or ", choices.back()));
  }
  value = text;
  return absl::OkStatus();
}

// Reads one text into a field; one overload per kind of field.
struct Reader {
  absl::Status operator()(uint64_t* value) const {
    if (setting.kind == Kind::kSize) return ReadSize(text, *value);
    if (absl::SimpleAtoi(text, value)) return absl::OkStatus();
    return Refused(text, "a whole number, 0 or more");
  }
  absl::Status operator()(uint32_t* value) const {
    if (setting.kind == Kind::kMode) return ReadMode(text, *value);
    uint64_t wide = 0;
    absl::Status status = (*this)(&wide);
    if (!status.ok()) return status;
    // Past any range that Resolve allows, which then names it.
    *value = static_cast<uint32_t>(
        std::min<uint64_t>(wide, std::numeric_limits<uint32_t>::max()));
    return absl::OkStatus();
  }
  absl::Status operator()(int* value) const {
    if (absl::SimpleAtoi(text, value)) return absl::OkStatus();
    return Refused(text, "a whole number");
  }
  absl::Status operator()(absl::Duration* value) const {
    return ReadDuration(text, *value);
  }
  absl::Status operator()(bool* value) const {
    return ReadSwitch(text, *value);
  }
  absl::Status operator()(std::string* value) const {
    return ReadText(setting, text, *value);
  }
  absl::Status operator()(std::vector<std::string>* value) const {
    value->push_back(text);
    return absl::OkStatus();
  }

  const Setting& setting;
  const std::string& text;
};

std::string SizeText(uint64_t bytes) {
  constexpr absl::string_view kUnits[] = {"", "KiB", "MiB", "GiB", "TiB"};
  size_t unit = 0;
  while (bytes != 0 && bytes % 1024 == 0 && unit + 1 < std::size(kUnits)) {
    bytes /= 1024;
    ++unit;
  }
  return absl::StrCat(bytes, kUnits[unit]);
}

struct Writer {
  std::vector<std::string> operator()(const uint64_t* value) const {
    return {setting.kind == Kind::kSize ? SizeText(*value)
                                        : absl::StrCat(*value)};
  }
  std::vector<std::string> operator()(const uint32_t* value) const {
    if (setting.kind == Kind::kMode) return {absl::StrFormat("%04o", *value)};
    const uint64_t wide = *value;
    return (*this)(&wide);
  }
  std::vector<std::string> operator()(const int* value) const {
    return {absl::StrCat(*value)};
  }
  std::vector<std::string> operator()(const absl::Duration* value) const {
    return {absl::StrCat(absl::ToDoubleSeconds(*value))};
  }
  std::vector<std::string> operator()(const bool* value) const {
    return {*value ? "true" : "false"};
  }
  std::vector<std::string> operator()(const std::string* value) const {
    return {*value};
  }
  std::vector<std::string> operator()(
      const std::vector<std::string>* value) const {
    return *value;
  }

  const Setting& setting;
};

}  // namespace

absl::Status SetFromText(const Setting& setting,
                         const std::vector<std::string>& texts,
                         ServerOptions& options) {
  const SettingField field = setting.field(options);
  if (setting.kind == Kind::kList) {
    std::get<std::vector<std::string>*>(field)->clear();
  } else if (texts.size() != 1) {
    return Refused(absl::StrJoin(texts, ", "), "one value");
  }
  for (const std::string& text : texts) {
    absl::Status status =
        std::visit(Reader{.setting = setting, .text = text}, field);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

std::vector<std::string> TextsOf(const Setting& setting,
                                 const ServerOptions& options) {
  ServerOptions copy = options;
  return std::visit(Writer{.setting = setting}, setting.field(copy));
}

std::string DefaultText(const Setting& setting) {
  if (!setting.default_text.empty()) return setting.default_text;
  return absl::StrJoin(TextsOf(setting, DefaultOptions()), ",");
}

}  // namespace halfstep

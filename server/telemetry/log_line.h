// How a call, or a word about the server, is written: for people, or as JSON
// for programs.
//
// Whatever a client has sent is escaped or cut: no line is ever more than one,
// and no text moves a terminal's cursor.
#ifndef HALFSTEP_SERVER_TELEMETRY_LOG_LINE_H_
#define HALFSTEP_SERVER_TELEMETRY_LOG_LINE_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "server/telemetry/call_record.h"

namespace halfstep {

enum class LogFormat : uint8_t { kText, kJson };

// Bytes that are kept of a text that comes from outside, and of a word about
// the server; what was longer ends in "...".
inline constexpr size_t kLoggedBytesMax = 1024;
inline constexpr size_t kLoggedNoteBytesMax = 8192;

// kText: "QuantizationService/Quantize peer=... status=OK". Bytes that are not
// printable ASCII are written as \n, \t, \" or \xNN.
// kJson: the members of an object, without its braces, so that time and level
// can stand before them. Always valid UTF-8: what is not becomes U+FFFD.
std::string LogLine(const CallRecord& record, LogFormat format);

// The same for a word about the server.
std::string LogLine(absl::string_view note, LogFormat format);

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_TELEMETRY_LOG_LINE_H_

// One line per call, and one for what happens to the server, on standard error.
#ifndef HALFSTEP_SERVER_TELEMETRY_CALL_LOG_H_
#define HALFSTEP_SERVER_TELEMETRY_CALL_LOG_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "server/telemetry/call_record.h"
#include "server/telemetry/log_line.h"

namespace halfstep {

// Thread-safe. Writes behind the callers' backs: a call never waits for the
// log, and lines are dropped rather than piled up if nobody takes them.
class CallLog {
 public:
  // `level` as ServerOptions::log_level.
  CallLog(absl::string_view level, LogFormat format);
  // Writes what is still to be written.
  ~CallLog();
  CallLog(const CallLog&) = delete;
  CallLog& operator=(const CallLog&) = delete;

  // Whether a call that ended with `status` gets a line: INTERNAL, which is a
  // bug of ours, at level error, every other at level info.
  bool IsWanted(const absl::Status& status) const;
  void Write(const CallRecord& record);

  // A line about the server itself, at level info, warn or error.
  void Note(absl::string_view text);
  void NoteWarning(absl::string_view text);
  void NoteError(absl::string_view text);

  // From now on, as ServerOptions::log_level.
  void SetLevel(absl::string_view level);

  // Lines that nobody took in time, so far.
  uint64_t dropped() const;

 private:
  class Sink;
  const LogFormat format_;
  std::unique_ptr<Sink> sink_;
};

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_TELEMETRY_CALL_LOG_H_

// One line per call, on standard error.
#ifndef HALFSTEP_SERVER_CALL_LOG_H_
#define HALFSTEP_SERVER_CALL_LOG_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "server/call_record.h"

namespace halfstep {

// Thread-safe. Writes behind the callers' backs: a call never waits for the
// log, and lines are dropped rather than piled up if nobody takes them.
class CallLog {
 public:
  // `level` as ServerOptions::log_level.
  explicit CallLog(absl::string_view level);
  // Writes what is still to be written.
  ~CallLog();
  CallLog(const CallLog&) = delete;
  CallLog& operator=(const CallLog&) = delete;

  // Whether a call that ended with `status` gets a line: INTERNAL, which is a
  // bug of ours, at level error, every other at level info.
  bool IsWanted(const absl::Status& status) const;
  void Write(const CallRecord& record);

  // A line about the server itself, at level info or error.
  void Note(absl::string_view text);
  void NoteError(absl::string_view text);

  // From now on, as ServerOptions::log_level.
  void SetLevel(absl::string_view level);

 private:
  class Sink;
  std::unique_ptr<Sink> sink_;
};

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_CALL_LOG_H_

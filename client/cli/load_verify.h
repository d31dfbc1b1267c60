// Checks the answers of a load run against the core library, bit for bit.
#ifndef HALFSTEP_CLIENT_CLI_LOAD_VERIFY_H_
#define HALFSTEP_CLIENT_CLI_LOAD_VERIFY_H_

#include <google/protobuf/message.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "client/load/workload.h"

namespace halfstep::cli {

class AnswerCheck {
 public:
  // Computes the right answer to every call of `workload`.
  // Errors as for what the call does.
  static absl::StatusOr<std::unique_ptr<AnswerCheck>> Create(
      const load::Workload& workload);

  // OK if `reply` says what core says: codes or reals byte for byte, and every
  // other field. Otherwise DATA_LOSS naming the first field or element that
  // differs, with what was expected and what came. Thread-safe.
  absl::Status Check(size_t variant, const grpc::ByteBuffer& reply);

 private:
  struct Answer {
    std::string call;  // "Quantize"
    std::unique_ptr<google::protobuf::Message> message;
    // The bytes of a reply that was right: most others are the same.
    absl::Mutex mutex;
    std::shared_ptr<const std::string> seen ABSL_GUARDED_BY(mutex);
  };
  AnswerCheck() = default;

  std::vector<std::unique_ptr<Answer>> answers_;
};

}  // namespace halfstep::cli

#endif  // HALFSTEP_CLIENT_CLI_LOAD_VERIFY_H_

// Who may call what, by the bearer tokens of a file that can be replaced while
// the server runs. docs/security.md has the file's format.
#ifndef HALFSTEP_SERVER_SECURITY_AUTHORIZATION_H_
#define HALFSTEP_SERVER_SECURITY_AUTHORIZATION_H_

#include <grpcpp/support/string_ref.h>

#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "server/security/token_table.h"

namespace halfstep {

// The metadata that a token comes in, as `Bearer TOKEN`.
inline constexpr char kAuthorizationKey[] = "authorization";

// A call's metadata, as gRPC has it.
using CallMetadata = std::multimap<grpc::string_ref, grpc::string_ref>;

// Thread-safe.
class Authorization {
 public:
  // `path`: of the file of tokens. Empty: whoever reaches the server may call
  // everything.
  explicit Authorization(std::string path) : path_(std::move(path)) {}
  Authorization(const Authorization&) = delete;
  Authorization& operator=(const Authorization&) = delete;

  // Reads the file, and replaces what was read before if it is valid. Otherwise
  // FAILED_PRECONDITION, `--token-file: PATH: what it is; what it must be`, in
  // which no token occurs, and everything stays as it was. Must succeed once
  // before the first Authorize.
  absl::Status Load();

  // Whether calls need a token.
  bool is_on() const { return !path_.empty(); }
  const std::string& path() const { return path_; }

  // Whether a call of `method` ("QuantizationService/Quantize") that came with
  // `metadata` may go on, and the name of the token in `caller` if it came with
  // one that is known.
  //
  // UNAUTHENTICATED if it has no token or an unknown one, PERMISSION_DENIED if
  // its token does not permit `method`. The messages do not say which part of a
  // token was wrong, nor how long that took.
  absl::Status Authorize(absl::string_view method, const CallMetadata& metadata,
                         std::string& caller) const;

  // The same for all values of kAuthorizationKey that a call came with.
  absl::Status Authorize(absl::string_view method,
                         absl::Span<const absl::string_view> credentials,
                         std::string& caller) const;

 private:
  std::shared_ptr<const TokenTable> table() const {
    absl::ReaderMutexLock lock(&mutex_);
    return table_;
  }

  const std::string path_;
  mutable absl::Mutex mutex_;
  std::shared_ptr<const TokenTable> table_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_SECURITY_AUTHORIZATION_H_

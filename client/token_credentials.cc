#include "client/token_credentials.h"

#include <grpcpp/security/credentials.h>

#include <map>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/base/thread_annotations.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "client/secret_file.h"

namespace halfstep {
namespace {

constexpr absl::Duration kLookInterval = absl::Seconds(1);

// The token in the file at `path`: all of it but the white space around.
absl::StatusOr<std::string> ReadToken(const std::string& path) {
  const absl::StatusOr<std::string> text =
      ReadCredentialFile(path, /*is_secret=*/true);
  if (!text.ok()) return text.status();
  const absl::string_view token = absl::StripAsciiWhitespace(*text);
  const bool is_token =
      !token.empty() && absl::c_all_of(token, [](char character) {
        return absl::ascii_isgraph(static_cast<unsigned char>(character));
      });
  if (!is_token) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": no token; must be one line with nothing else"));
  }
  return std::string(token);
}

class Plugin final : public grpc::MetadataCredentialsPlugin {
 public:
  Plugin(std::string path, std::string token)
      : path_(std::move(path)), token_(std::move(token)) {}

  bool IsBlocking() const override { return false; }
  const char* GetType() const override { return "token"; }
  // gRPC's own would be fit for a log, too, but this says that it is.
  grpc::string DebugString() override { return "a token"; }

  grpc::Status GetMetadata(
      grpc::string_ref /*service*/, grpc::string_ref /*method*/,
      const grpc::AuthContext& /*channel*/,
      std::multimap<grpc::string, grpc::string>* metadata) override {
    metadata->emplace("authorization", absl::StrCat("Bearer ", Token()));
    return grpc::Status::OK;
  }

 private:
  std::string Token() {
    absl::MutexLock lock(&mutex_);
    if (absl::Now() - last_look_ > kLookInterval) {
      last_look_ = absl::Now();
      absl::StatusOr<std::string> token = ReadToken(path_);
      if (token.ok()) token_ = *std::move(token);
    }
    return token_;
  }

  const std::string path_;
  absl::Mutex mutex_;
  std::string token_ ABSL_GUARDED_BY(mutex_);
  absl::Time last_look_ ABSL_GUARDED_BY(mutex_) = absl::Now();
};

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::CallCredentials>> TokenCredentials(
    const std::string& path) {
  absl::StatusOr<std::string> token = ReadToken(path);
  if (!token.ok()) return token.status();
  return grpc::experimental::MetadataCredentialsFromPlugin(
      std::make_unique<Plugin>(path, *std::move(token)), GRPC_SECURITY_NONE);
}

}  // namespace halfstep

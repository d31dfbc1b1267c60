#include "server/security/authorization.h"

#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/security/secret_file.h"

namespace halfstep {
namespace {

constexpr absl::string_view kScheme = "Bearer ";

absl::Status NoToken(absl::string_view fault) {
  return absl::UnauthenticatedError(
      absl::StrCat("authorization: ", fault,
                   "; must be `Bearer` and a token of this server"));
}

}  // namespace

absl::Status Authorization::Load() {
  if (!is_on()) return absl::OkStatus();
  const absl::StatusOr<std::string> text = ReadSecretFile(path_);
  if (!text.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat("--token-file: ", text.status().message()));
  }
  absl::StatusOr<TokenTable> table = TokenTable::Parse(*text);
  if (!table.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat("--token-file: ", path_, ": ", table.status().message()));
  }
  auto next = std::make_shared<const TokenTable>(*std::move(table));
  absl::MutexLock lock(&mutex_);
  table_.swap(next);
  return absl::OkStatus();
}

absl::Status Authorization::Authorize(absl::string_view method,
                                      const CallMetadata& metadata,
                                      std::string& caller) const {
  if (!is_on()) return absl::OkStatus();
  std::vector<absl::string_view> credentials;
  const auto [begin, end] = metadata.equal_range(kAuthorizationKey);
  for (auto value = begin; value != end; ++value) {
    credentials.emplace_back(value->second.data(), value->second.size());
  }
  return Authorize(method, credentials, caller);
}

absl::Status Authorization::Authorize(
    absl::string_view method, absl::Span<const absl::string_view> credentials,
    std::string& caller) const {
  if (!is_on()) return absl::OkStatus();
  if (credentials.empty()) return NoToken("none");
  // Which of two would count is nothing to guess about.
  if (credentials.size() > 1) return NoToken("several");
  absl::string_view token = credentials.front();
  // The scheme's case does not matter (RFC 7235, section 2.1).
  if (!absl::StartsWithIgnoreCase(token, kScheme)) {
    return NoToken("another scheme");
  }
  token.remove_prefix(kScheme.size());
  const std::shared_ptr<const TokenTable> tokens = table();
  const TokenTable::Entry* entry = tokens->Find(token);
  if (entry == nullptr) return NoToken("an unknown token");
  caller = entry->name;
  if (Permits(*entry, method)) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat("the token of ", entry->name,
                                                  " does not permit ", method,
                                                  "; must be one that does"));
}

}  // namespace halfstep

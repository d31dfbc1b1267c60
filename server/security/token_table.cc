#include "server/security/token_table.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "halfstep/v1/quantization.pb.h"

namespace halfstep {
namespace {

constexpr size_t kNameSizeMax = 64;
constexpr absl::string_view kDigestPrefix = "sha256:";

using Digest = std::array<uint8_t, SHA256_DIGEST_LENGTH>;

Digest DigestOf(absl::string_view token) {
  Digest digest;
  SHA256(reinterpret_cast<const uint8_t*>(token.data()), token.size(),
         digest.data());
  return digest;
}

// Whether `name` is of a method or a service that the server has: a permission
// with a slip in it would else be noticed only by who is refused.
bool IsKnown(absl::string_view name) {
  if (name == "*") return true;
  const std::vector<absl::string_view> parts = absl::StrSplit(name, '/');
  if (parts.size() != 2) return false;
  const auto* file = v1::QuantizeRequest::descriptor()->file();
  for (int i = 0; i < file->service_count(); ++i) {
    const google::protobuf::ServiceDescriptor* service = file->service(i);
    if (service->name() != parts[0]) continue;
    return parts[1] == "*" ||
           service->FindMethodByName(std::string(parts[1])) != nullptr;
  }
  return false;
}

// b64token of RFC 6750, what can stand behind "Bearer".
bool IsToken(absl::string_view text) {
  const absl::string_view body = text.substr(0, text.find('='));
  return !body.empty() && text.size() >= TokenTable::kTokenSizeMin &&
         text.size() <= TokenTable::kTokenSizeMax &&
         absl::c_all_of(
             body,
             [](char c) {
               return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                      absl::StrContains("-._~+/", c);
             }) &&
         absl::c_all_of(text.substr(body.size()),
                        [](char c) { return c == '='; });
}

bool IsName(absl::string_view text) {
  return !text.empty() && text.size() <= kNameSizeMax &&
         absl::c_all_of(text, [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                  absl::StrContains("-._@", c);
         });
}

absl::Status ReadDigest(absl::string_view text, Digest& digest) {
  absl::string_view hexadecimal = text;
  if (!absl::ConsumePrefix(&hexadecimal, kDigestPrefix)) {
    if (!IsToken(text)) {
      return absl::FailedPreconditionError(absl::StrCat(
          "no token; must be ", TokenTable::kTokenSizeMin, " to ",
          TokenTable::kTokenSizeMax,
          " letters, digits and any of -._~+/= (openssl rand -base64 32)"));
    }
    digest = DigestOf(text);
    return absl::OkStatus();
  }
  if (hexadecimal.size() != 2 * digest.size() ||
      !absl::c_all_of(hexadecimal, [](char c) {
        return absl::ascii_isxdigit(static_cast<unsigned char>(c));
      })) {
    return absl::FailedPreconditionError(
        "no digest; must be sha256: and 64 hexadecimal digits");
  }
  const std::string bytes = absl::HexStringToBytes(hexadecimal);
  std::copy(bytes.begin(), bytes.end(), digest.begin());
  return absl::OkStatus();
}

// Reads a line that is neither empty nor a comment.
absl::StatusOr<TokenTable::Entry> ReadLine(absl::string_view line) {
  const std::vector<absl::string_view> fields =
      absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
  if (fields.size() != 3) {
    return absl::FailedPreconditionError(
        absl::StrCat(fields.size(), " words; must be NAME METHODS TOKEN"));
  }
  TokenTable::Entry entry;
  if (!IsName(fields[0])) {
    return absl::FailedPreconditionError(
        absl::StrCat("no name in front; must be at most ", kNameSizeMax,
                     " letters, digits and any of -._@"));
  }
  entry.name = std::string(fields[0]);
  // A token in the wrong place must not get into a message.
  entry.methods = absl::StrSplit(fields[1], ',');
  if (!absl::c_all_of(entry.methods, IsKnown)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "methods of ", entry.name,
        ": this server has none of that name; must be SERVICE/METHOD, "
        "SERVICE/* or *, "
        "with commas between them"));
  }
  absl::Status status = ReadDigest(fields[2], entry.digest);
  if (!status.ok()) return status;
  return entry;
}

}  // namespace

absl::StatusOr<TokenTable> TokenTable::Parse(absl::string_view text) {
  TokenTable table;
  absl::flat_hash_set<Digest> seen;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line.front() == '#') continue;
    absl::StatusOr<Entry> entry = ReadLine(line);
    if (!entry.ok()) {
      return absl::FailedPreconditionError(
          absl::StrCat("line ", number, ": ", entry.status().message()));
    }
    if (!seen.insert(entry->digest).second) {
      return absl::FailedPreconditionError(
          absl::StrCat("line ", number,
                       ": the token of a line above; must be "
                       "another one"));
    }
    table.entries_.push_back(*std::move(entry));
    if (table.entries_.size() > kTokensMax) {
      return absl::FailedPreconditionError(absl::StrCat(
          "more than ", kTokensMax, " tokens; must be at most that"));
    }
  }
  if (table.entries_.empty()) {
    return absl::FailedPreconditionError(
        "no token; must have at least one line NAME METHODS TOKEN");
  }
  return table;
}

const TokenTable::Entry* TokenTable::Find(absl::string_view token) const {
  const Digest digest = DigestOf(token);
  const Entry* found = nullptr;
  for (const Entry& entry : entries_) {
    if (CRYPTO_memcmp(entry.digest.data(), digest.data(), digest.size()) == 0) {
      found = &entry;
    }
  }
  return found;
}

bool Permits(const TokenTable::Entry& entry, absl::string_view method) {
  return absl::c_any_of(entry.methods, [method](absl::string_view permitted) {
    if (permitted == "*" || permitted == method) return true;
    // "SERVICE/*": compared with its slash.
    return absl::ConsumeSuffix(&permitted, "*") &&
           absl::StartsWith(method, permitted);
  });
}

}  // namespace halfstep

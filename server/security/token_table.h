// Bearer tokens and what each permits: the parsed form of a token file.
//
//   # NAME   METHODS                                             TOKEN
//   trainer  QuantizationService/*,CalibrationService/Merge      wK8x...
//   ops      *                                                   sha256:5e88...
//
// One token per line; a name may have several, as while one replaces another.
// Instead of a token, its SHA-256 in hexadecimal may stand there, and then
// nobody who reads the file can call with it.
#ifndef HALFSTEP_SERVER_SECURITY_TOKEN_TABLE_H_
#define HALFSTEP_SERVER_SECURITY_TOKEN_TABLE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace halfstep {

class TokenTable {
 public:
  // Shorter ones can be guessed: this is 96 bits at six a character.
  static constexpr size_t kTokenSizeMin = 16;
  // Longer ones do not fit into the metadata of a call.
  static constexpr size_t kTokenSizeMax = 4096;
  static constexpr size_t kTokensMax = 1'000;

  struct Entry {
    std::array<uint8_t, 32> digest;  // SHA-256 of the token
    std::string name;
    // "QuantizationService/Quantize", "QuantizationService/*" or "*".
    std::vector<std::string> methods;
  };

  // FAILED_PRECONDITION, `line N: what it is; what it must be`, if a line is
  // none, a method is not one of the server's, a token is there twice, or there
  // is no token at all. The message holds no token.
  static absl::StatusOr<TokenTable> Parse(absl::string_view text);

  // The entry of `token`, or null. Takes as long for every token of one length:
  // all entries are compared, in full, by their digests.
  const Entry* Find(absl::string_view token) const;

  size_t size() const { return entries_.size(); }

 private:
  std::vector<Entry> entries_;
};

// Whether `entry` permits `method` ("QuantizationService/Quantize").
bool Permits(const TokenTable::Entry& entry, absl::string_view method);

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_SECURITY_TOKEN_TABLE_H_

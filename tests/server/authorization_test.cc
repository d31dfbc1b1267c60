#include "server/security/authorization.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/security/token_table.h"
#include "tests/server/pem.h"
#include "tests/temporary_folder.h"

namespace halfstep {
namespace {

using ::testing::HasSubstr;

constexpr char kInfo[] = "QuantizationService/GetServerInfo";
constexpr char kQuantize[] = "QuantizationService/Quantize";
constexpr char kMerge[] = "CalibrationService/Merge";
constexpr char kReader[] = "0123456789abcdef-reader";
constexpr char kAll[] = "0123456789abcdef-all==";
// SHA-256 of "0123456789abcdef-hashed", by `printf ... | sha256sum`.
constexpr char kHashed[] = "0123456789abcdef-hashed";
constexpr char kDigest[] =
    "e324ea6132f538499ecb8c76e08fe2a0157d21655cce5dbcca8d826dcad7bdcd";

std::string Text() {
  return absl::StrCat("# who may what\n\n  reader ", kInfo,
                      ",CalibrationService/*  ", kReader, "\r\nall\t*\t", kAll,
                      "\nhashed ", kQuantize, " sha256:", kDigest);
}

class AuthorizationTest : public ::testing::Test {
 protected:
  AuthorizationTest() {
    WriteFile(path_, Text());
    const absl::Status loaded = authorization_.Load();
    EXPECT_TRUE(loaded.ok()) << loaded;
  }

  absl::StatusCode CodeOf(absl::string_view method,
                          std::vector<absl::string_view> credentials) {
    caller_.clear();
    return authorization_.Authorize(method, credentials, caller_).code();
  }

  const TemporaryFolder folder_;
  const std::string path_ = folder_.Path("tokens");
  Authorization authorization_{path_};
  std::string caller_;
};

TEST_F(AuthorizationTest, PermitsWhatTheTableSays) {
  const std::string reader = absl::StrCat("Bearer ", kReader);
  EXPECT_EQ(CodeOf(kInfo, {reader}), absl::StatusCode::kOk);
  EXPECT_EQ(caller_, "reader");
  EXPECT_EQ(CodeOf(kMerge, {reader}), absl::StatusCode::kOk);
  EXPECT_EQ(CodeOf(kQuantize, {reader}), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(caller_, "reader");
  const std::string hashed = absl::StrCat("bearer ", kHashed);
  EXPECT_EQ(CodeOf(kQuantize, {hashed}), absl::StatusCode::kOk);
  EXPECT_EQ(caller_, "hashed");
  // A service's name is not the beginning of a service's name.
  EXPECT_EQ(CodeOf("CalibrationServiceOfOthers/Merge", {reader}),
            absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(CodeOf("QuantizationService/QuantizeStream", {hashed}),
            absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(CodeOf("Anything/AtAll", {absl::StrCat("Bearer ", kAll)}),
            absl::StatusCode::kOk);
}

TEST_F(AuthorizationTest, KnowsNobodyElse) {
  const std::string right = absl::StrCat("Bearer ", kAll);
  EXPECT_EQ(CodeOf(kInfo, {}), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(CodeOf(kInfo, {right, right}), absl::StatusCode::kUnauthenticated);
  // Every prefix, every single byte that differs, and what is longer.
  for (size_t size = 0; size < right.size(); ++size) {
    EXPECT_EQ(CodeOf(kInfo, {right.substr(0, size)}),
              absl::StatusCode::kUnauthenticated);
  }
  for (size_t i = 7; i < right.size(); ++i) {
    std::string wrong = right;
    wrong[i] = static_cast<char>(wrong[i] ^ 1);
    EXPECT_EQ(CodeOf(kInfo, {wrong}), absl::StatusCode::kUnauthenticated);
  }
  for (const char* more : {" ", "=", "\n", ",", "x"}) {
    EXPECT_EQ(CodeOf(kInfo, {right + more}),
              absl::StatusCode::kUnauthenticated);
  }
  EXPECT_EQ(CodeOf(kInfo, {std::string("Bearer \0", 8)}),
            absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(CodeOf(kInfo, {absl::StrCat("Bearer sha256:", kDigest)}),
            absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(caller_, "");
}

TEST_F(AuthorizationTest, ReadsMetadata) {
  CallMetadata metadata;
  EXPECT_EQ(authorization_.Authorize(kInfo, metadata, caller_).code(),
            absl::StatusCode::kUnauthenticated);
  const std::string right = absl::StrCat("Bearer ", kAll);
  metadata.emplace("authorization-x", right);
  EXPECT_EQ(authorization_.Authorize(kInfo, metadata, caller_).code(),
            absl::StatusCode::kUnauthenticated);
  metadata.emplace(kAuthorizationKey, right);
  EXPECT_TRUE(authorization_.Authorize(kInfo, metadata, caller_).ok());
  metadata.emplace(kAuthorizationKey, "Basic x");
  EXPECT_EQ(authorization_.Authorize(kInfo, metadata, caller_).code(),
            absl::StatusCode::kUnauthenticated);
}

TEST_F(AuthorizationTest, AFailedLoadKeepsWhatWasThere) {
  const std::string right = absl::StrCat("Bearer ", kAll);
  WriteFile(path_, absl::StrCat("all * ", kAll, " more"));
  const absl::Status status = authorization_.Load();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr(path_ + ": line 1: "));
  EXPECT_FALSE(absl::StrContains(status.message(), kAll));
  EXPECT_EQ(CodeOf(kInfo, {right}), absl::StatusCode::kOk);
  WriteFile(path_, Text(), 0644);
  EXPECT_THAT(std::string(authorization_.Load().message()),
              HasSubstr("mode 0644"));
  WriteFile(path_, absl::StrCat("other * ", kReader));
  EXPECT_TRUE(authorization_.Load().ok());
  EXPECT_EQ(CodeOf(kInfo, {right}), absl::StatusCode::kUnauthenticated);
}

TEST(Authorization, IsOffWithoutAFile) {
  Authorization open("");
  EXPECT_TRUE(open.Load().ok());
  EXPECT_FALSE(open.is_on());
  std::string caller;
  EXPECT_TRUE(open.Authorize(kQuantize, CallMetadata(), caller).ok());
}

TEST(TokenTable, SaysWhichLineIsWrongAndNoToken) {
  const std::string token = "0123456789abcdef-secret";
  for (const std::string& line :
       {absl::StrCat("ops ", token), absl::StrCat(token, " *"),
        absl::StrCat("ops ", token, " *"), absl::StrCat("ops, * ", token),
        absl::StrCat("ops Quantize ", token),
        absl::StrCat("ops * ", token, "!"), absl::StrCat("ops *,, ", token),
        absl::StrCat("ops QuantizationService/ ", token),
        absl::StrCat("ops QuantizationService/*/x ", token),
        absl::StrCat(std::string(65, 'n'), " * ", token),
        std::string("ops * 0123456789abcde"),
        std::string("ops * ================"),
        absl::StrCat("ops * ", std::string(4097, 't')),
        absl::StrCat("ops * sha256:", std::string(63, '0'))}) {
    SCOPED_TRACE(line);
    const absl::Status status =
        TokenTable::Parse(absl::StrCat("# first\n", line)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr("line 2: "));
    EXPECT_FALSE(absl::StrContains(status.message(), token));
  }
}

TEST(TokenTable, TakesTheSmallestAndTheLargest) {
  const std::string largest(4096, 't');
  const absl::StatusOr<TokenTable> table = TokenTable::Parse(
      absl::StrCat("a * 0123456789abcdef\na * ", largest, "\n",
                   "b * sha256:", absl::AsciiStrToUpper(kDigest), "\n"));
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_EQ(table->size(), 3u);
  ASSERT_NE(table->Find(largest), nullptr);
  EXPECT_EQ(table->Find(largest)->name, "a");
  ASSERT_NE(table->Find(kHashed), nullptr);
  EXPECT_EQ(table->Find(kHashed)->name, "b");
  EXPECT_EQ(table->Find(""), nullptr);
}

TEST(TokenTable, RefusesOneTokenForTwo) {
  // Once as it is and once as its digest.
  const absl::Status status =
      TokenTable::Parse(absl::StrCat("a * ", kHashed, "\nb * sha256:", kDigest))
          .status();
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("line 2: the token of a line above"));
}

TEST(TokenTable, HasABound) {
  std::string text;
  for (size_t i = 0; i < TokenTable::kTokensMax; ++i) {
    absl::StrAppend(&text, "n * 0123456789abcdef", i, "\n");
  }
  EXPECT_TRUE(TokenTable::Parse(text).ok());
  absl::StrAppend(&text, "n * 0123456789abcdef-\n");
  EXPECT_EQ(TokenTable::Parse(text).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace halfstep

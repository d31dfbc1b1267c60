#include "server/call/request_id.h"

#include <gtest/gtest.h>

#include <string>

namespace halfstep {
namespace {

TEST(RequestId, TakesWhatTheClientGives) {
  EXPECT_EQ(RequestId("a"), "a");
  EXPECT_EQ(RequestId("job-7/step_3:retry=1+x@host.example"),
            "job-7/step_3:retry=1+x@host.example");
  const std::string longest(kRequestIdSizeMax, 'x');
  EXPECT_EQ(RequestId(longest), longest);
}

TEST(RequestId, MakesOneInPlaceOfNoneOrNonsense) {
  const std::string made = RequestId("");
  EXPECT_EQ(made.size(), 15);
  EXPECT_EQ(made.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_NE(made, RequestId(""));
  for (const std::string& bad :
       {std::string("a b"), std::string("a\nb"), std::string("\"}{"),
        std::string("\0", 1), std::string("\xc3\xa4"),
        std::string(kRequestIdSizeMax + 1, 'x')}) {
    SCOPED_TRACE(bad);
    EXPECT_EQ(RequestId(bad).size(), 15);
    EXPECT_NE(RequestId(bad), bad);
  }
}

TEST(TraceId, IsThatOfTheSpecificationsExample) {
  // https://www.w3.org/TR/trace-context/, section 3.2.2.5.
  EXPECT_EQ(TraceId("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            "4bf92f3577b34da6a3ce929d0e0e4736");
  // A later version may have more behind.
  EXPECT_EQ(
      TraceId("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what"),
      "4bf92f3577b34da6a3ce929d0e0e4736");
}

TEST(TraceId, IsEmptyForWhatIsNone) {
  for (const char* bad : {
           "",
           "00",
           // Upper case; zeros; a forbidden version; something behind version
           // 00; something other than a dash behind a later one; too short.
           "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
           "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
           "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what",
           "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.what",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
           "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
           "0g-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0x",
       }) {
    SCOPED_TRACE(bad);
    EXPECT_EQ(TraceId(bad), "");
  }
}

}  // namespace
}  // namespace halfstep

// The text of a .npy header, well formed and otherwise.
#include "client/npy_header.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace halfstep {
namespace {

using testing::HasSubstr;

NpyHeader Parsed(absl::string_view text) {
  const absl::StatusOr<NpyHeader> header = ParseNpyHeader(text);
  EXPECT_TRUE(header.ok()) << header.status();
  return header.value_or(NpyHeader{});
}

TEST(NpyHeader, ReadsWhatNumpyWrites) {
  const NpyHeader header = Parsed(
      "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }      \n");
  EXPECT_EQ(header.type, NpyType::kFloat32);
  EXPECT_FALSE(header.big_endian);
  EXPECT_FALSE(header.fortran_order);
  EXPECT_EQ(header.shape, (std::vector<int64_t>{3, 4}));
  EXPECT_EQ(header.data_bytes, 48u);
}

TEST(NpyHeader, ReadsEveryTypeInBothByteOrders) {
  for (const NpyType type :
       {NpyType::kFloat16, NpyType::kFloat32, NpyType::kFloat64, NpyType::kInt8,
        NpyType::kInt16, NpyType::kInt32, NpyType::kUint8, NpyType::kUint16,
        NpyType::kUint32}) {
    const std::string name(Descr(type).substr(1));
    for (const char* order : {"<", ">"}) {
      SCOPED_TRACE(absl::StrCat(order, name));
      const NpyHeader header =
          Parsed(absl::StrCat("{'descr': '", order, name,
                              "', 'fortran_order': False, 'shape': (7,)}"));
      EXPECT_EQ(header.type, type);
      EXPECT_EQ(header.big_endian, *order == '>' && ByteSize(type) > 1);
      EXPECT_EQ(header.data_bytes, 7 * ByteSize(type));
    }
  }
}

TEST(NpyHeader, ReadsAnyOrderQuotesAndSpaces) {
  const NpyHeader header = Parsed(
      "{ \"shape\" :( 1 ,2,\n3 , ) ,'fortran_order':True,\"descr\":'|u1'}");
  EXPECT_EQ(header.shape, (std::vector<int64_t>{1, 2, 3}));
  EXPECT_TRUE(header.fortran_order);
  EXPECT_EQ(header.type, NpyType::kUint8);
}

TEST(NpyHeader, ReadsScalarsAndEmptyArrays) {
  EXPECT_EQ(Parsed("{'descr': '<f8', 'fortran_order': False, 'shape': ()}")
                .data_bytes,
            8u);
  EXPECT_EQ(Parsed("{'descr': '<f8', 'fortran_order': False, 'shape': (0, 5)}")
                .data_bytes,
            0u);
}

TEST(NpyHeader, WhatIsWrittenIsReadBack) {
  for (const std::vector<int64_t>& shape :
       {std::vector<int64_t>{}, {5}, {2, 0, 3}, {1, 2, 3, 4, 5, 6, 7, 8}}) {
    const NpyHeader header = Parsed(FormatNpyHeader(NpyType::kInt16, shape));
    EXPECT_EQ(header.type, NpyType::kInt16);
    EXPECT_EQ(header.shape, shape);
  }
}

TEST(NpyHeader, ShapesAreAsInPython) {
  EXPECT_EQ(FormatShape({}), "()");
  EXPECT_EQ(FormatShape({3}), "(3,)");
  EXPECT_EQ(FormatShape({3, 4}), "(3, 4)");
}

struct Refused {
  std::string text;
  std::string message;  // a part of it
};

class RefusedHeader : public testing::TestWithParam<Refused> {};

TEST_P(RefusedHeader, NamesThePartAtFault) {
  const absl::StatusOr<NpyHeader> header = ParseNpyHeader(GetParam().text);
  EXPECT_EQ(header.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(header.status().message()),
              HasSubstr(GetParam().message));
}

// A header that is right but for what takes the place of one of its values.
std::string WithDescr(const std::string& descr) {
  return absl::StrCat("{'descr': ", descr,
                      ", 'fortran_order': False, 'shape': (3,), }");
}
std::string WithOrder(const std::string& order) {
  return absl::StrCat("{'descr': '<f4', 'fortran_order': ", order,
                      ", 'shape': (3,), }");
}
std::string WithShape(const std::string& shape) {
  return absl::StrCat(
      "{'descr': '<f4', 'fortran_order': False, 'shape': ", shape, ", }");
}
std::string Dimensions(int count) {
  std::string text = "(";
  for (int i = 0; i < count; ++i) text += "1, ";
  return text + ")";
}

INSTANTIATE_TEST_SUITE_P(
    Text, RefusedHeader,
    testing::Values(Refused{"", "must be a dictionary"},
                    Refused{"[]", "must be a dictionary"},
                    Refused{"{", "must be a key"},
                    Refused{"{}", "header.descr: missing"},
                    Refused{"{'descr': '<f4', 'shape': (3,)}",
                            "header.fortran_order: "
                            "missing"},
                    Refused{"{'descr': '<f4', 'fortran_order': False}",
                            "header.shape: missing"},
                    Refused{"{'descr': '<f4' 'fortran_order': False}",
                            "a comma is missing"},
                    Refused{"{'descr' '<f4'}",
                            "must be a key, a colon and a value"},
                    Refused{"{descr: '<f4'}", "must be a key"},
                    Refused{"{'descr: '<f4'}", "must be"},
                    Refused{"{'descr': '<f4', 'descr': '<f4'}", "once each"},
                    Refused{"{'evil': 1}", "key 'evil'"},
                    Refused{WithShape("(3,)") + " x", "after the dictionary"},
                    Refused{WithShape("(3,)") + WithShape("(3,)"),
                            "after the dictionary"}));

INSTANTIATE_TEST_SUITE_P(
    Values, RefusedHeader,
    testing::Values(Refused{WithDescr("'|O'"), "pickled Python objects"},
                    Refused{WithDescr("'<V2'"), "bfloat16"},
                    Refused{WithDescr("'|V2'"), "bfloat16"},
                    Refused{WithDescr("'bfloat16'"), "bfloat16"},
                    Refused{WithDescr("[('a', '<f4')]"), "structured"},
                    Refused{WithDescr("'<i8'"), "'<i8'; must be"},
                    Refused{WithDescr("'<c8'"), "'<c8'; must be"},
                    Refused{WithDescr("'|b1'"), "'|b1'; must be"},
                    Refused{WithDescr("'<U3'"), "'<U3'; must be"},
                    Refused{WithDescr("'|f4'"), "'|f4'; must be"},
                    Refused{WithDescr("'f4'"), "'f4'; must be"},
                    Refused{WithDescr("'<f44'"), "'<f44'; must be"},
                    Refused{WithDescr("''"), "''; must be"},
                    Refused{WithDescr("'<f4"), "must be"},
                    Refused{WithDescr("'\\x3cf4'"), "string literal"},
                    Refused{WithDescr("4"), "string literal"},
                    Refused{WithOrder("0"), "must be True or False"},
                    Refused{WithOrder("'False'"), "must be True or False"},
                    Refused{WithOrder("os.system('x')"),
                            "must be True or False"}));

INSTANTIATE_TEST_SUITE_P(
    Shapes, RefusedHeader,
    testing::Values(
        Refused{WithShape("(3, -1)"), "header.shape: -1; must be >= 0"},
        Refused{WithShape("(3)"), "must be a tuple"},
        Refused{WithShape("3"), "no tuple"},
        Refused{WithShape("[3]"), "no tuple"},
        Refused{WithShape("(3, 4"), "must be an integer"},
        Refused{WithShape("(,)"), "must be an integer"},
        Refused{WithShape("(3,,4)"), "must be an integer"},
        Refused{WithShape("(3 4)"), "a comma is missing"},
        Refused{WithShape("(-)"), "must be an integer"},
        Refused{WithShape("(3.0,)"), "comma is missing"},
        Refused{WithShape("(1e3,)"), "comma is missing"},
        Refused{WithShape("(9223372036854775808,)"), "below 2^63"},
        Refused{WithShape("(4294967296, 4294967296)"), "less than 2^63"},
        // 2^62 elements are 2^64 bytes.
        Refused{WithShape("(4611686018427387904,)"), "less than 2^63"},
        // An empty array does not excuse a shape that overflows.
        Refused{WithShape("(0, 4294967296, 4294967296)"), "less than 2^63"},
        Refused{WithShape(Dimensions(33)), "more than 32"}));

TEST(NpyHeader, MessagesQuoteLittleAndEscapeTheRest) {
  const std::string hostile = "\x1b[2J\n" + std::string(10'000, 'x');
  const absl::Status status = ParseNpyHeader(hostile).status();
  EXPECT_LT(status.message().size(), 300u);
  EXPECT_EQ(status.message().find('\x1b'), absl::string_view::npos);
  EXPECT_EQ(status.message().find('\n'), absl::string_view::npos);
}

}  // namespace
}  // namespace halfstep

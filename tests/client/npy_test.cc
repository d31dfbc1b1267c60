// .npy files, well formed and broken.
#include "client/npy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "tests/temporary_folder.h"

namespace halfstep {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

// A file of version `major`.0 with `header` as it is.
std::string File(int major, const std::string& header,
                 const std::string& elements) {
  std::string file = "\x93NUMPY";
  file.push_back(static_cast<char>(major));
  file.push_back('\0');
  const size_t length_bytes = major == 1 ? 2 : 4;
  for (size_t i = 0; i < length_bytes; ++i) {
    file.push_back(static_cast<char>(header.size() >> (8 * i) & 0xff));
  }
  return file + header + elements;
}

std::string Header(const std::string& descr, const std::string& order,
                   const std::string& shape) {
  return absl::StrCat("{'descr': '", descr, "', 'fortran_order': ", order,
                      ", 'shape': ", shape, ", }\n");
}

std::string Ascending(int count) {
  std::string bytes;
  for (int i = 0; i < count; ++i) bytes.push_back(static_cast<char>(i));
  return bytes;
}

std::string ErrorOf(absl::string_view contents) {
  const absl::StatusOr<NpyArray> array = ParseNpy(contents);
  EXPECT_EQ(array.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(array.status().message());
}

// np.save of np.array([1.5, -2], '<f4') by NumPy 1.24.2.
const std::string kSavedByNumpy =
    std::string("\x93NUMPY\x01\x00v\x00", 10) +
    "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }" +
    std::string(60, ' ') + "\n" + std::string("\0\0\xc0\x3f\0\0\0\xc0", 8);

TEST(Npy, ReadsWhatNumpySaves) {
  const absl::StatusOr<NpyArray> array = ParseNpy(kSavedByNumpy);
  ASSERT_TRUE(array.ok()) << array.status();
  EXPECT_EQ(array->type, NpyType::kFloat32);
  EXPECT_EQ(array->shape, (std::vector<int64_t>{2}));
  EXPECT_EQ(array->bytes, std::string("\0\0\xc0\x3f\0\0\0\xc0", 8));
}

TEST(Npy, ReadsVersionsOneToThree) {
  for (const int major : {1, 2, 3}) {
    const absl::StatusOr<NpyArray> array =
        ParseNpy(File(major, Header("<f2", "False", "(2, 3)"), Ascending(12)));
    ASSERT_TRUE(array.ok()) << array.status();
    EXPECT_EQ(array->bytes, Ascending(12));
  }
}

TEST(Npy, FortranOrderIsPutInRowMajorOrder) {
  // Columns first: 00 10, 01 11, 02 12.
  const absl::StatusOr<NpyArray> array =
      ParseNpy(File(1, Header("|u1", "True", "(2, 3)"),
                    std::string("\x00\x10\x01\x11\x02\x12", 6)));
  ASSERT_TRUE(array.ok()) << array.status();
  EXPECT_EQ(array->bytes, std::string("\x00\x01\x02\x10\x11\x12", 6));
}

TEST(Npy, FortranOrderOfThreeDimensions) {
  // Element (i, j, k) of shape (2, 3, 4) has the value 100 i + 10 j + k.
  std::string fortran;
  std::string row_major;
  for (int k = 0; k < 4; ++k) {
    for (int j = 0; j < 3; ++j) {
      for (int i = 0; i < 2; ++i) {
        fortran.push_back(static_cast<char>(100 * i + 10 * j + k));
        fortran.push_back('\0');
      }
    }
  }
  for (int i = 0; i < 2; ++i) {
    for (int j = 0; j < 3; ++j) {
      for (int k = 0; k < 4; ++k) {
        row_major.push_back(static_cast<char>(100 * i + 10 * j + k));
        row_major.push_back('\0');
      }
    }
  }
  const absl::StatusOr<NpyArray> array =
      ParseNpy(File(1, Header("<i2", "True", "(2, 3, 4)"), fortran));
  ASSERT_TRUE(array.ok()) << array.status();
  EXPECT_EQ(array->bytes, row_major);
}

TEST(Npy, BigEndianElementsAreSwapped) {
  const absl::StatusOr<NpyArray> array =
      ParseNpy(File(1, Header(">f4", "False", "(2,)"), Ascending(8)));
  ASSERT_TRUE(array.ok()) << array.status();
  EXPECT_EQ(array->bytes, std::string("\3\2\1\0\7\6\5\4", 8));
}

TEST(Npy, BigEndianAndFortranOrderTogether) {
  const absl::StatusOr<NpyArray> array =
      ParseNpy(File(2, Header(">u2", "True", "(2, 2)"), Ascending(8)));
  ASSERT_TRUE(array.ok()) << array.status();
  EXPECT_EQ(array->bytes, std::string("\1\0\5\4\3\2\7\6", 8));
}

TEST(Npy, ReadsScalarsAndEmptyArrays) {
  EXPECT_TRUE(
      ParseNpy(File(1, Header("<f8", "False", "()"), Ascending(8))).ok());
  EXPECT_TRUE(ParseNpy(File(1, Header("<f8", "True", "(0, 3)"), "")).ok());
}

TEST(Npy, EveryCutIsRefused) {
  for (size_t size = 0; size < kSavedByNumpy.size(); ++size) {
    SCOPED_TRACE(size);
    const absl::StatusOr<NpyArray> array =
        ParseNpy(absl::string_view(kSavedByNumpy).substr(0, size));
    EXPECT_EQ(array.status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST(Npy, TruncatedElementsAreCounted) {
  EXPECT_THAT(ErrorOf(File(1, Header("<f4", "False", "(3,)"), Ascending(11))),
              HasSubstr("elements: 11 bytes; must be 12"));
}

TEST(Npy, TrailingBytesAreRefused) {
  EXPECT_THAT(ErrorOf(File(1, Header("<f4", "False", "(3,)"), Ascending(13))),
              HasSubstr("elements: 13 bytes; must be 12"));
}

TEST(Npy, AHugeShapeAllocatesNothing) {
  EXPECT_THAT(ErrorOf(File(1, Header("<f4", "False", "(1152921504606846976,)"),
                           Ascending(4))),
              HasSubstr("elements: 4 bytes; must be 4611686018427387904"));
}

TEST(Npy, AHeaderBeyondTheFileIsRefused) {
  EXPECT_THAT(ErrorOf(std::string("\x93NUMPY\x01\x00\xff\x7f{}", 12)),
              HasSubstr("header: 2 bytes; must be 32767"));
}

TEST(Npy, AnOversizedHeaderIsRefused) {
  EXPECT_THAT(ErrorOf(std::string("\x93NUMPY\x02\x00\xff\xff\xff\xff{}", 14)),
              HasSubstr("header length: 4294967295 bytes; must be at most"));
}

TEST(Npy, OtherVersionsAreRefused) {
  EXPECT_THAT(ErrorOf(File(4, Header("<f4", "False", "(0,)"), "")),
              HasSubstr("version: 4.0; must be"));
  EXPECT_THAT(ErrorOf(std::string("\x93NUMPY\x01\x01\x00\x00", 10)),
              HasSubstr("version: 1.1; must be"));
}

TEST(Npy, OtherFilesAreNamed) {
  // pickle.dumps([1]) and the start of a .npz archive.
  EXPECT_THAT(ErrorOf(std::string("\x80\x04]\x94K\x01"
                                  "a.",
                                  8)),
              HasSubstr("pickle"));
  EXPECT_THAT(ErrorOf("PK\x03\x04 and so on"), HasSubstr(".npz"));
  EXPECT_THAT(ErrorOf("1,2,3\n4,5,6\n"), HasSubstr("must be a .npy file"));
  EXPECT_THAT(ErrorOf(""), HasSubstr("must be a .npy file"));
}

TEST(Npy, ObjectArraysAreRefusedBeforeTheirPickle) {
  EXPECT_THAT(ErrorOf(File(1, Header("|O", "False", "(1,)"), "\x80\x04N.")),
              HasSubstr("pickled Python objects"));
}

TEST(Npy, WritesAlignedFilesThatAreReadBack) {
  const TemporaryFolder folder;
  const NpyArray array = {
      .type = NpyType::kInt16, .shape = {2, 3}, .bytes = Ascending(12)};
  ASSERT_EQ(WriteNpy(folder.Path("a.npy"), array), absl::OkStatus());
  const std::string file = folder.Read("a.npy");
  EXPECT_EQ((file.size() - 12) % 64, 0u);
  EXPECT_THAT(file, StartsWith(std::string("\x93NUMPY\x01\x00", 8)));
  const absl::StatusOr<NpyArray> read = ReadNpy(folder.Path("a.npy"));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->type, array.type);
  EXPECT_EQ(read->shape, array.shape);
  EXPECT_EQ(read->bytes, array.bytes);
  EXPECT_EQ(folder.Names(), std::set<std::string>{"a.npy"});
}

TEST(Npy, RefusesToWriteBytesThatDoNotFit) {
  const TemporaryFolder folder;
  const NpyArray array = {
      .type = NpyType::kInt16, .shape = {2, 3}, .bytes = Ascending(11)};
  EXPECT_EQ(WriteNpy(folder.Path("a.npy"), array).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(folder.Names().empty());
}

TEST(Npy, ErrorsOfFilesStartWithTheirPath) {
  const TemporaryFolder folder;
  const absl::Status missing = ReadNpy(folder.Path("missing.npy")).status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.message()),
              StartsWith(folder.Path("missing.npy") + ": cannot be read"));

  const std::string cut = folder.Write("cut.npy", kSavedByNumpy.substr(0, 100));
  EXPECT_THAT(std::string(ReadNpy(cut).status().message()),
              StartsWith(cut + ": header: "));

  const absl::Status not_a_file = ReadNpy(folder.Path(".")).status();
  EXPECT_EQ(not_a_file.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(not_a_file.message()),
              HasSubstr("not a regular file"));
}

}  // namespace
}  // namespace halfstep

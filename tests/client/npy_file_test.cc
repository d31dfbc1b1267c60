// .npy files read piece by piece give what reading them whole gives.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "client/npy.h"
#include "tests/temporary_folder.h"

namespace halfstep {
namespace {

// 100 float32 by their bytes: all different.
std::string Elements() {
  std::string bytes;
  for (int i = 0; i < 400; ++i) bytes.push_back(static_cast<char>(i * 7));
  return bytes;
}

std::string ReadInPieces(const NpyFile& file, size_t piece) {
  std::string bytes(file.header().data_bytes, '\0');
  for (size_t at = 0; at < bytes.size(); at += piece) {
    const size_t count = std::min(piece, bytes.size() - at);
    EXPECT_EQ(file.ReadAt(at, count, bytes.data() + at), absl::OkStatus());
  }
  return bytes;
}

TEST(NpyFile, ReadsThePiecesOfTheWhole) {
  const TemporaryFolder folder;
  const std::string path = folder.Path("a.npy");
  const NpyArray array = {
      .type = NpyType::kFloat32, .shape = {4, 25}, .bytes = Elements()};
  ASSERT_EQ(WriteNpy(path, array), absl::OkStatus());
  absl::StatusOr<NpyFile> file = NpyFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->header().shape, array.shape);
  for (const size_t piece : {4u, 12u, 400u, 4096u}) {
    EXPECT_EQ(ReadInPieces(*file, piece), array.bytes) << piece;
  }
  char past_the_end[8];
  EXPECT_TRUE(absl::IsDataLoss(file->ReadAt(396, 8, past_the_end)));
}

TEST(NpyFile, SwapsBigEndianElements) {
  const TemporaryFolder folder;
  const std::string path = folder.Path("a.npy");
  std::string preamble = NpyPreamble(NpyType::kFloat32, {100});
  preamble.replace(preamble.find("<f4"), 3, ">f4");
  folder.Write("a.npy", preamble + Elements());
  absl::StatusOr<NpyFile> file = NpyFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  const absl::StatusOr<NpyArray> whole = ReadNpy(path);
  ASSERT_TRUE(whole.ok());
  EXPECT_NE(whole->bytes, Elements());
  EXPECT_EQ(ReadInPieces(*file, 12), whole->bytes);
}

TEST(NpyFile, RefusesWhatReadingTheWholeRefuses) {
  const TemporaryFolder folder;
  const std::string path = folder.Path("a.npy");
  EXPECT_TRUE(absl::IsNotFound(NpyFile::Open(path).status()));
  const std::string preamble = NpyPreamble(NpyType::kFloat32, {100});
  for (const std::string& contents :
       {std::string("no array"), preamble, preamble + Elements().substr(1),
        preamble + Elements() + "x"}) {
    folder.Write("a.npy", contents);
    const absl::Status refused = NpyFile::Open(path).status();
    EXPECT_TRUE(absl::IsInvalidArgument(refused)) << refused;
    EXPECT_EQ(refused, ReadNpy(path).status());
  }
}

}  // namespace
}  // namespace halfstep

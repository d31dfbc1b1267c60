#include "client/npy.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/output_file.h"

namespace halfstep {
namespace {

constexpr absl::string_view kMagic = "\x93NUMPY";
constexpr size_t kAlignment = 64;
// Far more than a shape of 32 dimensions needs.
constexpr uint32_t kHeaderBytesMax = 64 * 1024;

// Bytes that come one after the other, from a file or from memory.
class Source {
 public:
  virtual ~Source() = default;
  virtual uint64_t remaining() const = 0;
  // Fills `bytes`, which is not larger than remaining(). False on an I/O error.
  virtual bool Read(char* bytes, size_t count) = 0;
};

class MemorySource : public Source {
 public:
  explicit MemorySource(absl::string_view contents) : rest_(contents) {}
  uint64_t remaining() const override { return rest_.size(); }
  bool Read(char* bytes, size_t count) override {
    std::copy_n(rest_.begin(), count, bytes);
    rest_.remove_prefix(count);
    return true;
  }

 private:
  absl::string_view rest_;
};

class FileSource : public Source {
 public:
  FileSource(std::ifstream file, uint64_t size)
      : file_(std::move(file)), remaining_(size) {}
  uint64_t remaining() const override { return remaining_; }
  bool Read(char* bytes, size_t count) override {
    file_.read(bytes, static_cast<std::streamsize>(count));
    remaining_ -= count;
    return file_.good();
  }

 private:
  std::ifstream file_;
  uint64_t remaining_;
};

absl::Status Fault(absl::string_view what) {
  return absl::InvalidArgumentError(what);
}

absl::Status CutOff(absl::string_view part, uint64_t have, uint64_t want) {
  return Fault(absl::StrCat(part, ": ", have, " bytes; must be ", want,
                            ": the file is cut off"));
}

absl::StatusOr<std::string> Take(Source& source, absl::string_view part,
                                 uint64_t count) {
  if (source.remaining() < count) {
    return CutOff(part, source.remaining(), count);
  }
  std::string bytes(count, '\0');
  if (!source.Read(bytes.data(), bytes.size())) {
    return absl::DataLossError(absl::StrCat(part, ": cannot be read"));
  }
  return bytes;
}

uint32_t LittleEndian(absl::string_view bytes) {
  uint32_t number = 0;
  for (size_t i = bytes.size(); i > 0; --i) {
    number = number << 8 | static_cast<uint8_t>(bytes[i - 1]);
  }
  return number;
}

// A pickle, a zipped archive of arrays, or something else.
absl::Status NotNpy(absl::string_view start) {
  if (absl::StartsWith(start, "\x80")) {
    return Fault(
        "a Python pickle; must be a .npy file: loading a pickle runs code");
  }
  if (absl::StartsWith(start, "PK")) {
    return Fault("an archive such as .npz; must be one .npy file");
  }
  return Fault("does not start with \\x93NUMPY; must be a .npy file");
}

absl::StatusOr<NpyHeader> TakeHeader(Source& source) {
  const uint64_t start_size = std::min<uint64_t>(source.remaining(), 8);
  absl::StatusOr<std::string> start = Take(source, "start", start_size);
  if (!start.ok()) return start.status();
  if (!absl::StartsWith(*start, kMagic)) return NotNpy(*start);
  if (start->size() < 8) return CutOff("start", start->size(), 8);
  const int major = static_cast<uint8_t>((*start)[6]);
  const int minor = static_cast<uint8_t>((*start)[7]);
  if (major < 1 || major > 3 || minor != 0) {
    return Fault(absl::StrCat("version: ", major, ".", minor,
                              "; must be 1.0, 2.0 or 3.0"));
  }
  absl::StatusOr<std::string> length =
      Take(source, "header length", major == 1 ? 2 : 4);
  if (!length.ok()) return length.status();
  const uint32_t header_bytes = LittleEndian(*length);
  if (header_bytes > kHeaderBytesMax) {
    return Fault(absl::StrCat("header length: ", header_bytes,
                              " bytes; must be at most ", kHeaderBytesMax));
  }
  absl::StatusOr<std::string> header = Take(source, "header", header_bytes);
  if (!header.ok()) return header.status();
  return ParseNpyHeader(*header);
}

void SwapBytes(size_t element_bytes, std::string& bytes) {
  for (size_t i = 0; i < bytes.size(); i += element_bytes) {
    std::reverse(&bytes[i], &bytes[i] + element_bytes);
  }
}

// The elements of `bytes`, in which the first index varies fastest, with the
// last index varying fastest.
std::string RowMajor(const NpyHeader& header, const std::string& bytes) {
  const size_t element_bytes = ByteSize(header.type);
  const size_t rank = header.shape.size();
  std::vector<size_t> stride(rank);
  size_t next = element_bytes;
  for (size_t axis = 0; axis < rank; ++axis) {
    stride[axis] = next;
    next *= static_cast<size_t>(header.shape[axis]);
  }
  std::string ordered(bytes.size(), '\0');
  std::vector<int64_t> index(rank, 0);
  size_t from = 0;
  for (size_t to = 0; to < ordered.size(); to += element_bytes) {
    std::memcpy(&ordered[to], &bytes[from], element_bytes);
    for (size_t axis = rank; axis > 0; --axis) {
      from += stride[axis - 1];
      if (++index[axis - 1] < header.shape[axis - 1]) break;
      from -= stride[axis - 1] * static_cast<size_t>(header.shape[axis - 1]);
      index[axis - 1] = 0;
    }
  }
  return ordered;
}

// The header, once the elements are known to be as long as it says.
absl::StatusOr<NpyHeader> TakeCheckedHeader(Source& source) {
  absl::StatusOr<NpyHeader> header = TakeHeader(source);
  if (!header.ok()) return header;
  if (source.remaining() > header->data_bytes) {
    return Fault(absl::StrCat("elements: ", source.remaining(),
                              " bytes; must be ", header->data_bytes,
                              " for shape ", FormatShape(header->shape)));
  }
  if (source.remaining() < header->data_bytes) {
    return CutOff("elements", source.remaining(), header->data_bytes);
  }
  return header;
}

absl::StatusOr<NpyArray> ReadFrom(Source& source) {
  absl::StatusOr<NpyHeader> header = TakeCheckedHeader(source);
  if (!header.ok()) return header.status();
  absl::StatusOr<std::string> bytes =
      Take(source, "elements", header->data_bytes);
  if (!bytes.ok()) return bytes.status();
  if (header->big_endian) SwapBytes(ByteSize(header->type), *bytes);
  if (header->fortran_order && header->shape.size() > 1) {
    *bytes = RowMajor(*header, *bytes);
  }
  return NpyArray{.type = header->type,
                  .shape = std::move(header->shape),
                  .bytes = *std::move(bytes)};
}

absl::Status InFile(const std::string& path, const absl::Status& status) {
  return absl::Status(status.code(),
                      absl::StrCat(path, ": ", status.message()));
}

absl::StatusOr<FileSource> OpenSource(const std::string& path) {
  std::error_code error;
  const std::filesystem::file_status status =
      std::filesystem::status(path, error);
  if (std::filesystem::exists(status) &&
      !std::filesystem::is_regular_file(status)) {
    return Fault(
        absl::StrCat(path, ": not a regular file; must be a .npy file"));
  }
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  const uint64_t size = std::filesystem::file_size(path, error);
  if (!file.is_open() || error) {
    const int number = errno != 0 ? errno : error.value();
    return absl::ErrnoToStatus(number, absl::StrCat(path, ": cannot be read"));
  }
  return FileSource(std::move(file), size);
}

}  // namespace

absl::StatusOr<NpyArray> ReadNpy(const std::string& path) {
  absl::StatusOr<FileSource> source = OpenSource(path);
  if (!source.ok()) return source.status();
  absl::StatusOr<NpyArray> array = ReadFrom(*source);
  return array.ok() ? array : InFile(path, array.status());
}

absl::StatusOr<NpyFile> NpyFile::Open(const std::string& path) {
  absl::StatusOr<FileSource> source = OpenSource(path);
  if (!source.ok()) return source.status();
  const uint64_t size = source->remaining();
  absl::StatusOr<NpyHeader> header = TakeCheckedHeader(*source);
  if (!header.ok()) return InFile(path, header.status());
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot be read"));
  }
  const uint64_t data_offset = size - header->data_bytes;
  return NpyFile(path, *std::move(header), data_offset, descriptor);
}

NpyFile::NpyFile(std::string path, NpyHeader header, uint64_t data_offset,
                 int descriptor)
    : path_(std::move(path)),
      header_(std::move(header)),
      data_offset_(data_offset),
      descriptor_(descriptor) {}

NpyFile::NpyFile(NpyFile&& other) noexcept
    : path_(std::move(other.path_)),
      header_(std::move(other.header_)),
      data_offset_(other.data_offset_),
      descriptor_(std::exchange(other.descriptor_, -1)) {}

NpyFile::~NpyFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

absl::Status NpyFile::ReadAt(uint64_t offset, size_t count, char* bytes) const {
  for (size_t done = 0; done < count;) {
    const ssize_t read =
        pread(descriptor_, bytes + done, count - done,
              static_cast<off_t>(data_offset_ + offset + done));
    if (read < 0 && errno == EINTR) continue;
    // 0: the file has become shorter.
    if (read <= 0) {
      return absl::DataLossError(absl::StrCat(path_, ": cannot be read"));
    }
    done += static_cast<size_t>(read);
  }
  const size_t size = ByteSize(header_.type);
  for (size_t i = 0; header_.big_endian && i < count; i += size) {
    std::reverse(bytes + i, bytes + i + size);
  }
  return absl::OkStatus();
}

absl::StatusOr<NpyArray> ParseNpy(absl::string_view contents) {
  MemorySource source(contents);
  return ReadFrom(source);
}

std::string NpyPreamble(NpyType type, const std::vector<int64_t>& shape) {
  std::string header = FormatNpyHeader(type, shape);
  const size_t unpadded = kMagic.size() + 4 + header.size() + 1;
  header.append((kAlignment - unpadded % kAlignment) % kAlignment, ' ');
  header.push_back('\n');
  const char version_and_length[] = {1, 0,
                                     static_cast<char>(header.size() & 0xff),
                                     static_cast<char>(header.size() >> 8)};
  return absl::StrCat(kMagic, absl::string_view(version_and_length, 4), header);
}

absl::Status WriteNpy(const std::string& path, const NpyArray& array) {
  const std::string preamble = NpyPreamble(array.type, array.shape);
  const absl::StatusOr<NpyHeader> header =
      ParseNpyHeader(FormatNpyHeader(array.type, array.shape));
  if (!header.ok() || header->data_bytes != array.bytes.size()) {
    return Fault(absl::StrCat(path, ": ", array.bytes.size(),
                              " bytes; must fit shape ",
                              FormatShape(array.shape)));
  }
  absl::StatusOr<OutputFile> file = OutputFile::Create(path);
  if (!file.ok()) return file.status();
  absl::Status status = file->Write(preamble);
  if (status.ok()) status = file->Write(array.bytes);
  if (!status.ok()) return status;
  OutputFile* const files[] = {&*file};
  return OutputFile::Commit(files);
}

}  // namespace halfstep

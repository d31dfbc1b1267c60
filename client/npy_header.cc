#include "client/npy_header.h"

#include <array>
#include <limits>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"

namespace halfstep {
namespace {

struct TypeName {
  NpyType type;
  absl::string_view descr;
  size_t byte_size;
};

constexpr std::array<TypeName, 9> kTypes = {{
    {NpyType::kFloat16, "<f2", 2},
    {NpyType::kFloat32, "<f4", 4},
    {NpyType::kFloat64, "<f8", 8},
    {NpyType::kInt8, "|i1", 1},
    {NpyType::kInt16, "<i2", 2},
    {NpyType::kInt32, "<i4", 4},
    {NpyType::kUint8, "|u1", 1},
    {NpyType::kUint16, "<u2", 2},
    {NpyType::kUint32, "<u4", 4},
}};

const TypeName& Entry(NpyType type) {
  return kTypes[static_cast<size_t>(type)];
}

absl::Status Fault(absl::string_view part, absl::string_view fault) {
  return absl::InvalidArgumentError(absl::StrCat("header", part, ": ", fault));
}

// At most this much of a file's text goes into a message.
std::string Quoted(absl::string_view text) {
  constexpr size_t kShown = 40;
  return absl::StrCat("'", absl::CHexEscape(text.substr(0, kShown)),
                      text.size() > kShown ? "..." : "", "'");
}

// Takes tokens from the front of the text.
class Scanner {
 public:
  explicit Scanner(absl::string_view text) : text_(text) {}

  // Takes `symbol`, after white space, if it is next.
  bool Take(absl::string_view symbol) {
    SkipSpace();
    return absl::ConsumePrefix(&text_, symbol);
  }

  // The inside of a string literal. NumPy writes no escapes: none are read.
  std::optional<absl::string_view> TakeString() {
    SkipSpace();
    if (text_.empty() || (text_[0] != '\'' && text_[0] != '"')) return {};
    const size_t end = text_.find_first_of("'\"\\\n", 1);
    if (end == absl::string_view::npos || text_[end] != text_[0]) return {};
    const absl::string_view inside = text_.substr(1, end - 1);
    text_.remove_prefix(end + 1);
    return inside;
  }

  // Decimal digits with an optional minus; empty if none are next.
  absl::string_view TakeNumber() {
    SkipSpace();
    size_t end = absl::StartsWith(text_, "-") ? 1 : 0;
    while (end < text_.size() && text_[end] >= '0' && text_[end] <= '9') ++end;
    const absl::string_view number = text_.substr(0, end);
    text_.remove_prefix(end);
    return number;
  }

  absl::string_view rest() const { return text_; }

 private:
  void SkipSpace() {
    while (!text_.empty() && (text_[0] == ' ' || text_[0] == '\n')) {
      text_.remove_prefix(1);
    }
  }

  absl::string_view text_;
};

absl::Status CheckUnknownType(absl::string_view descr) {
  if (absl::StrContains(descr, 'O')) {
    return Fault(".descr", absl::StrCat(Quoted(descr),
                                        ", pickled Python objects; must be "
                                        "numbers: loading a pickle runs code"));
  }
  if (absl::StrContains(descr, 'V') || absl::StrContains(descr, "bfloat16")) {
    return Fault(".descr",
                 absl::StrCat(Quoted(descr),
                              ", opaque bytes; must be a number's type: .npy "
                              "has none for bfloat16, save float32 instead"));
  }
  return Fault(".descr",
               absl::StrCat(Quoted(descr),
                            "; must be f2, f4, f8, or i or u with 1, 2 or 4 "
                            "bytes, in either byte order"));
}

absl::Status ReadDescr(Scanner& scanner, NpyHeader& header) {
  if (scanner.Take("[")) {
    return Fault(".descr", "a structured type; must be one number's type");
  }
  const auto descr = scanner.TakeString();
  if (!descr.has_value()) {
    return Fault(".descr", absl::StrCat(Quoted(scanner.rest()),
                                        "; must be a string literal"));
  }
  const char order = descr->empty() ? '\0' : descr->front();
  for (const TypeName& entry : kTypes) {
    if (descr->size() != 3 || descr->substr(1) != entry.descr.substr(1)) {
      continue;
    }
    const bool one_byte = entry.byte_size == 1;
    if (order == '<' || order == '>' || (order == '|' && one_byte)) {
      header.type = entry.type;
      header.big_endian = order == '>' && !one_byte;
      return absl::OkStatus();
    }
  }
  return CheckUnknownType(*descr);
}

absl::Status ReadOrder(Scanner& scanner, NpyHeader& header) {
  if (scanner.Take("True")) {
    header.fortran_order = true;
  } else if (!scanner.Take("False")) {
    return Fault(".fortran_order", absl::StrCat(Quoted(scanner.rest()),
                                                "; must be True or False"));
  }
  return absl::OkStatus();
}

absl::Status ReadShape(Scanner& scanner, NpyHeader& header) {
  // NumPy's own limit, and enough that no text here takes long.
  constexpr size_t kRankMax = 32;
  if (!scanner.Take("(")) return Fault(".shape", "no tuple; must be one");
  bool comma = false;
  while (!scanner.Take(")")) {
    if (!header.shape.empty() && !comma) {
      return Fault(".shape", "a comma is missing; must be a tuple");
    }
    const absl::string_view number = scanner.TakeNumber();
    int64_t dimension = 0;
    if (number.empty() || !absl::SimpleAtoi(number, &dimension)) {
      return Fault(".shape", absl::StrCat(Quoted(number.empty() ? scanner.rest()
                                                                : number),
                                          "; must be an integer below 2^63"));
    }
    if (dimension < 0) {
      return Fault(".shape", absl::StrCat(dimension, "; must be >= 0"));
    }
    if (header.shape.size() == kRankMax) {
      return Fault(".shape", absl::StrCat("more than ", kRankMax,
                                          " dimensions; must be fewer"));
    }
    header.shape.push_back(dimension);
    comma = scanner.Take(",");
  }
  if (header.shape.size() == 1 && !comma) {
    return Fault(".shape", "a number in parentheses; must be a tuple");
  }
  return absl::OkStatus();
}

// Sets header.data_bytes. Dimensions of 0 do not excuse an overflow: the API
// refuses such shapes for empty tensors, too.
absl::Status CountBytes(NpyHeader& header) {
  auto bytes = static_cast<int64_t>(ByteSize(header.type));
  bool empty = false;
  for (const int64_t dimension : header.shape) {
    if (dimension == 0) {
      empty = true;
    } else if (__builtin_mul_overflow(bytes, dimension, &bytes)) {
      return Fault(".shape", absl::StrCat(FormatShape(header.shape),
                                          "; must take less than 2^63 bytes"));
    }
  }
  header.data_bytes = empty ? 0 : static_cast<uint64_t>(bytes);
  return absl::OkStatus();
}

}  // namespace

size_t ByteSize(NpyType type) { return Entry(type).byte_size; }

absl::string_view Descr(NpyType type) { return Entry(type).descr; }

absl::StatusOr<NpyHeader> ParseNpyHeader(absl::string_view text) {
  Scanner scanner(text);
  NpyHeader header;
  if (!scanner.Take("{")) {
    return Fault("", absl::StrCat(Quoted(text), "; must be a dictionary"));
  }
  using Reader = absl::Status (*)(Scanner&, NpyHeader&);
  struct Key {
    absl::string_view name;
    Reader read;
    bool seen = false;
  };
  std::array<Key, 3> keys = {{{"descr", ReadDescr},
                              {"fortran_order", ReadOrder},
                              {"shape", ReadShape}}};
  bool comma = true;
  while (!scanner.Take("}")) {
    if (!comma) return Fault("", "a comma is missing; must be a dictionary");
    const auto name = scanner.TakeString();
    if (!name.has_value() || !scanner.Take(":")) {
      return Fault("", absl::StrCat(Quoted(scanner.rest()),
                                    "; must be a key, a colon and a value"));
    }
    Key* known = nullptr;
    for (Key& key : keys) {
      if (key.name == *name) known = &key;
    }
    if (known == nullptr || std::exchange(known->seen, true)) {
      return Fault("", absl::StrCat("key ", Quoted(*name),
                                    "; must be descr, fortran_order and "
                                    "shape, once each"));
    }
    absl::Status status = known->read(scanner, header);
    if (!status.ok()) return status;
    comma = scanner.Take(",");
  }
  for (const Key& key : keys) {
    if (!key.seen)
      return Fault(absl::StrCat(".", key.name), "missing; must be given");
  }
  scanner.Take("\n");
  if (!scanner.rest().empty()) {
    return Fault("", absl::StrCat(Quoted(scanner.rest()),
                                  " after the dictionary; must be spaces"));
  }
  absl::Status status = CountBytes(header);
  if (!status.ok()) return status;
  return header;
}

std::string FormatNpyHeader(NpyType type, absl::Span<const int64_t> shape) {
  return absl::StrCat(
      "{'descr': '", Descr(type),
      "', 'fortran_order': False, 'shape': ", FormatShape(shape), ", }");
}

std::string FormatShape(absl::Span<const int64_t> shape) {
  return absl::StrCat("(", absl::StrJoin(shape, ", "),
                      shape.size() == 1 ? ",)" : ")");
}

}  // namespace halfstep

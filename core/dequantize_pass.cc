#include "core/dequantize_pass.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "core/field_error.h"
#include "core/kernels/affine.h"
#include "core/kernels/dense.h"

namespace halfstep {
namespace {

// The first of `count` codes that is outside [low, high], or `count`.
template <typename C>
size_t FirstOutside(const std::byte* codes, size_t count, int64_t low,
                    int64_t high) {
  if (low <= std::numeric_limits<C>::min() &&
      high >= std::numeric_limits<C>::max()) {
    return count;
  }
  const C smallest = static_cast<C>(low);
  const C largest = static_cast<C>(high);
  // A whole strip without a branch first: nearly always there is none.
  bool outside = false;
  for (size_t i = 0; i < count; ++i) {
    C code;
    std::memcpy(&code, codes + i * sizeof(C), sizeof(C));
    outside |= code < smallest || code > largest;
  }
  if (!outside) return count;
  for (size_t i = 0; i < count; ++i) {
    C code;
    std::memcpy(&code, codes + i * sizeof(C), sizeof(C));
    if (code < smallest || code > largest) return i;
  }
  return count;
}

size_t FirstOutside(kernels::CodeKind kind, const std::byte* codes,
                    size_t count, const CodeRange& range) {
  using kernels::CodeKind;
  const int64_t low = range.quant_min;
  const int64_t high = range.quant_max;
  switch (kind) {
    case CodeKind::kU8:
      return FirstOutside<uint8_t>(codes, count, low, high);
    case CodeKind::kI8:
      return FirstOutside<int8_t>(codes, count, low, high);
    case CodeKind::kU16:
      return FirstOutside<uint16_t>(codes, count, low, high);
    case CodeKind::kI16:
      return FirstOutside<int16_t>(codes, count, low, high);
    case CodeKind::kU32:
      return FirstOutside<uint32_t>(codes, count, low, high);
    case CodeKind::kI32:
      return FirstOutside<int32_t>(codes, count, low, high);
  }
  return count;
}

absl::Status PaddingError() {
  return FieldError("codes", "a padding bit of the last byte is 1; must be 0");
}

}  // namespace

template <typename T>
CodeReader<T>::CodeReader(const QuantizePlan& plan, const Pieces& codes)
    : plan_(plan),
      codes_(codes),
      layout_(plan.spec().granularity, plan.shape()),
      table_(TableOf<T>(*plan.given(), layout_)),
      pairs_{table_->pairs(), 0} {}

template <typename T>
CodeReader<T>::CodeReader(const QuantizePlan& plan, const Pieces& codes,
                          const SlotPairs<T>& pairs)
    : plan_(plan),
      codes_(codes),
      layout_(plan.spec().granularity, plan.shape()),
      pairs_(pairs) {}

template <typename T>
absl::Status CodeReader<T>::Read(size_t first, size_t count, Scratch& scratch,
                                 std::byte* reconstructed) const {
  const Spec& spec = plan_.spec();
  if (HasFloatCodes(spec)) {
    return ReadFloats(first, count, scratch, reconstructed);
  }
  const kernels::CodeKind kind =
      CodeKindOf(CodeByteSize(spec), spec.code_type == CodeType::kInt);
  const std::byte* codes;
  if (spec.packing == Packing::kDense) {
    const size_t bytes = kernels::DenseBytes(count, spec.bits);
    const std::byte* dense =
        codes_.Contiguous(first / 8 * spec.bits, bytes, scratch.gathered);
    const uint32_t padding =
        static_cast<uint32_t>(bytes * 8 - count * spec.bits);
    if (padding != 0 &&
        std::to_integer<uint32_t>(dense[bytes - 1]) >> (8 - padding) != 0) {
      return PaddingError();
    }
    kernels::UnpackDense(reinterpret_cast<const uint8_t*>(dense), count,
                         spec.bits, kind, scratch.codes);
    codes = scratch.codes;
  } else {
    const size_t size = CodeByteSize(spec);
    codes = codes_.Contiguous(first * size, count * size, scratch.gathered);
  }
  const CodeRange range = CodeRangeOf(spec);
  const size_t outside = FirstOutside(kind, codes, count, range);
  if (outside != count) {
    return FieldError(
        "codes", absl::StrCat("the code at index ", first + outside,
                              " is out of range; must be in [", range.quant_min,
                              ", ", range.quant_max, "]"));
  }
  scratch.runs.clear();
  layout_.AppendRuns(first, count, pairs_.base, scratch.runs);
  kernels::Dequantize(codes, kind, {scratch.runs.data(), scratch.runs.size()},
                      pairs_.pairs, reinterpret_cast<T*>(reconstructed));
  return absl::OkStatus();
}

template <typename T>
absl::Status CodeReader<T>::ReadFloats(size_t first, size_t count,
                                       Scratch& scratch,
                                       std::byte* reconstructed) const {
  const bool is_float16 = plan_.spec().code_type == CodeType::kFloat16;
  const uint16_t infinity = is_float16 ? 0x7C00 : 0x7F80;
  const std::byte* codes = codes_.Contiguous(
      first * sizeof(uint16_t), count * sizeof(uint16_t), scratch.gathered);
  for (size_t i = 0; i < count; ++i) {
    uint16_t bits;
    std::memcpy(&bits, codes + i * sizeof(bits), sizeof(bits));
    if ((bits & infinity) == infinity) {
      return FieldError("codes",
                        absl::StrCat("the code at index ", first + i,
                                     " is NaN or infinite; must be finite"));
    }
  }
  Widened<T>(is_float16 ? DataType::kFloat16 : DataType::kBFloat16, codes,
             count, reconstructed);
  return absl::OkStatus();
}

template class CodeReader<float>;
template class CodeReader<double>;

namespace {

// Elements, and where their reconstructions go: nowhere if `output` is empty.
struct Destination {
  size_t first;
  size_t count;
  DataType dtype;
  absl::Span<std::byte> output;
};

template <typename T>
absl::Status ForEachStrip(
    const CodeReader<T>& reader, const Destination& to,
    const Execution& execution,
    absl::FunctionRef<void(size_t, size_t, const std::byte*)> visit) {
  const size_t blocks = (to.count + kBlockElements - 1) / kBlockElements;
  const bool is_narrowed = ByteSize(to.dtype) != sizeof(T);
  absl::Mutex mutex;
  absl::Status first_error;
  size_t first_error_block = blocks;
  const absl::Status status =
      execution.ForEach(blocks, kBlocksTogether, [&](size_t block) {
        Scratch& scratch = Scratch::Get();
        const size_t end = std::min(to.first + to.count,
                                    to.first + (block + 1) * kBlockElements);
        for (size_t first = to.first + block * kBlockElements; first < end;
             first += kStripElements) {
          const size_t strip = std::min(kStripElements, end - first);
          std::byte* reals =
              to.output.empty()
                  ? scratch.narrowed
                  : to.output.data() + (first - to.first) * ByteSize(to.dtype);
          std::byte* reconstructed =
              is_narrowed ? scratch.reconstructed : reals;
          const absl::Status read =
              reader.Read(first, strip, scratch, reconstructed);
          if (!read.ok()) {
            // The first in the order of elements, whichever thread was first.
            const absl::MutexLock lock(&mutex);
            if (block < first_error_block) {
              first_error_block = block;
              first_error = read;
            }
            return;
          }
          if (is_narrowed) {
            Narrow(reinterpret_cast<const T*>(reconstructed), strip, to.dtype,
                   reals);
          }
          visit(first, strip, reals);
        }
      });
  if (!status.ok()) return status;
  return first_error;
}

}  // namespace

absl::Status ForEachReconstructed(
    const QuantizePlan& plan, const Pieces& codes, DataType dtype,
    const Execution& execution, absl::Span<std::byte> output,
    absl::FunctionRef<void(size_t, size_t, const std::byte*)> visit) {
  const Destination to = {.first = 0,
                          .count = static_cast<size_t>(plan.element_count()),
                          .dtype = dtype,
                          .output = output};
  return IsDoubleArithmetic(plan.spec(), plan.dtype())
             ? ForEachStrip(CodeReader<double>(plan, codes), to, execution,
                            visit)
             : ForEachStrip(CodeReader<float>(plan, codes), to, execution,
                            visit);
}

template <typename T>
absl::Status DequantizeWindow(const CodeReader<T>& reader, size_t first,
                              size_t count, DataType dtype,
                              const Execution& execution,
                              absl::Span<std::byte> output) {
  return ForEachStrip(
      reader,
      {.first = first, .count = count, .dtype = dtype, .output = output},
      execution, [](size_t, size_t, const std::byte*) {});
}

template absl::Status DequantizeWindow(const CodeReader<float>&, size_t, size_t,
                                       DataType, const Execution&,
                                       absl::Span<std::byte>);
template absl::Status DequantizeWindow(const CodeReader<double>&, size_t,
                                       size_t, DataType, const Execution&,
                                       absl::Span<std::byte>);

}  // namespace halfstep

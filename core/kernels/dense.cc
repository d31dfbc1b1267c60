#include "core/kernels/dense.h"

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/dense.cc"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/highway.h>

#include "core/kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace halfstep::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Every lane of 64 bits holds 8 codes of one byte; they are moved together in
// three steps: neighbouring fields become one of twice the width.
//   16-bit lanes:  c0 + (c1 << b)      then 32-bit, then 64-bit ones
// Little-endian, as all of Highway's targets here are.
template <class D, class V>
HWY_INLINE V PackFields(D d, V codes, uint32_t bits) {
  const int b = static_cast<int>(bits);
  codes = hn::And(
      codes, hn::Set(d, 0x0101010101010101u * ((uint64_t{1} << bits) - 1)));
  const V low16 = hn::Set(d, 0x00FF00FF00FF00FFu);
  codes =
      hn::Or(hn::And(codes, low16),
             hn::ShiftLeftSame(hn::And(hn::ShiftRight<8>(codes), low16), b));
  const V low32 = hn::Set(d, 0x0000FFFF0000FFFFu);
  codes = hn::Or(
      hn::And(codes, low32),
      hn::ShiftLeftSame(hn::And(hn::ShiftRight<16>(codes), low32), 2 * b));
  const V low64 = hn::Set(d, 0x00000000FFFFFFFFu);
  return hn::Or(hn::And(codes, low64),
                hn::ShiftLeftSame(hn::ShiftRight<32>(codes), 4 * b));
}

// The inverse: 8 * b bits in the low end of a lane to 8 bytes, zero-extended.
template <class D, class V>
HWY_INLINE V UnpackFields(D d, V dense, uint32_t bits) {
  const int b = static_cast<int>(bits);
  const V field4 = hn::Set(d, (uint64_t{1} << (4 * bits)) - 1);
  dense = hn::Or(
      hn::And(dense, field4),
      hn::ShiftLeft<32>(hn::And(hn::ShiftRightSame(dense, 4 * b), field4)));
  const V field2 =
      hn::Set(d, ((uint64_t{1} << (2 * bits)) - 1) * 0x0000000100000001u);
  dense = hn::Or(
      hn::And(dense, field2),
      hn::ShiftLeft<16>(hn::And(hn::ShiftRightSame(dense, 2 * b), field2)));
  const V field1 =
      hn::Set(d, ((uint64_t{1} << bits) - 1) * 0x0001000100010001u);
  return hn::Or(
      hn::And(dense, field1),
      hn::ShiftLeft<8>(hn::And(hn::ShiftRightSame(dense, b), field1)));
}

// Codes of 4 bits, two to a byte: the common case without the detour through
// 64-bit lanes. Returns as PackBytes.
size_t PackNibbles(const uint8_t* codes, size_t count, uint8_t* dense) {
  const hn::ScalableTag<uint16_t> d;
  const hn::Rebind<uint8_t, decltype(d)> d8;
  const size_t lanes = hn::Lanes(d);
  const auto nibble = hn::Set(d, uint16_t{0x0F});
  const size_t step = HWY_MAX(2 * lanes, size_t{8});
  size_t done = 0;
  for (; done + step <= count; done += step) {
    for (size_t i = done; i < done + step; i += 2 * lanes) {
      const auto two =
          LoadLanes(d, reinterpret_cast<const uint16_t*>(codes + i));
      const auto low = hn::And(two, nibble);
      const auto high = hn::And(hn::ShiftRight<8>(two), nibble);
      StoreLanes(
          d8,
          hn::DemoteTo(d8, hn::BitCast(hn::RebindToSigned<decltype(d)>(),
                                       hn::Or(low, hn::ShiftLeft<4>(high)))),
          dense + i / 2);
    }
  }
  return done;
}

// Codes of 1 to 7 bits, 8 to a lane. Returns how many it packed: a multiple of
// 8, short of the last ones, so that a store of 8 bytes never passes the end.
size_t PackBytes(const uint8_t* codes, size_t count, uint32_t bits,
                 uint8_t* dense) {
  if (bits == 4) return PackNibbles(codes, count, dense);
  const hn::ScalableTag<uint64_t> d;
  const size_t lanes = hn::Lanes(d);
  uint64_t fields[hn::MaxLanes(d)];
  const uint64_t bytes = DenseBytes(count, bits);
  size_t done = 0;
  while (done + 8 * lanes <= count &&
         done / 8 * bits + (lanes - 1) * bits + 8 <= bytes) {
    // As bytes, so that any alignment will do.
    const hn::Repartition<uint8_t, decltype(d)> d8;
#if HWY_TARGET == HWY_SCALAR
    (void)d8;
    uint64_t eight;
    std::memcpy(&eight, codes + done, 8);
    const auto packed = PackFields(d, hn::Set(d, eight), bits);
#else
    const auto packed =
        PackFields(d, hn::BitCast(d, hn::LoadU(d8, codes + done)), bits);
#endif
    hn::StoreU(packed, d, fields);
    for (size_t i = 0; i < lanes; ++i, done += 8) {
      std::memcpy(dense + done / 8 * bits, &fields[i], 8);
    }
  }
  return done;
}

// As PackBytes, the other way. `dense` is never read past its end.
size_t UnpackBytes(const uint8_t* dense, size_t count, uint32_t bits,
                   uint8_t* codes) {
  const hn::ScalableTag<uint64_t> d;
  const size_t lanes = hn::Lanes(d);
  uint64_t fields[hn::MaxLanes(d)];
  const uint64_t bytes = DenseBytes(count, bits);
  size_t done = 0;
  while (done + 8 * lanes <= count &&
         done / 8 * bits + (lanes - 1) * bits + 8 <= bytes) {
    for (size_t i = 0; i < lanes; ++i) {
      std::memcpy(&fields[i], dense + (done / 8 + i) * bits, 8);
    }
    const auto codes8 = UnpackFields(d, hn::LoadU(d, fields), bits);
    hn::StoreU(codes8, d, fields);
    std::memcpy(codes + done, fields, 8 * lanes);
    done += 8 * lanes;
  }
  return done;
}

}  // namespace halfstep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace halfstep::kernels {
namespace {

HWY_EXPORT(PackBytes);
HWY_EXPORT(UnpackBytes);

// One code at a time through a 64-bit window: any width, any count.
template <typename C>
void PackOneByOne(const C* codes, size_t count, uint32_t bits, uint8_t* dense) {
  const uint64_t mask = (uint64_t{1} << bits) - 1;
  uint64_t window = 0;
  uint32_t held = 0;  // bits in the window, below 8 between codes
  for (size_t i = 0; i < count; ++i) {
    C code;
    std::memcpy(&code, codes + i, sizeof(C));
    window |= (static_cast<uint64_t>(code) & mask) << held;
    for (held += bits; held >= 8; held -= 8, window >>= 8) {
      *dense++ = static_cast<uint8_t>(window);
    }
  }
  if (held != 0) *dense = static_cast<uint8_t>(window);
}

template <typename C>
void UnpackOneByOne(const uint8_t* dense, size_t count, uint32_t bits,
                    C* codes) {
  const uint64_t mask = (uint64_t{1} << bits) - 1;
  uint64_t window = 0;
  uint32_t held = 0;
  for (size_t i = 0; i < count; ++i) {
    for (; held < bits; held += 8) {
      window |= static_cast<uint64_t>(*dense++) << held;
    }
    const C code = static_cast<C>(window & mask);
    std::memcpy(codes + i, &code, sizeof(C));
    window >>= bits;
    held -= bits;
  }
}

// Two's complement of `bits` bits to that of the whole type.
template <typename C>
void ExtendSign(C* codes, size_t count, uint32_t bits) {
  const uint64_t mask = (uint64_t{1} << bits) - 1;
  const C sign = static_cast<C>(mask - mask / 2);
  for (size_t i = 0; i < count; ++i) {
    C code;
    std::memcpy(&code, codes + i, sizeof(C));
    code = static_cast<C>((code ^ sign) - sign);
    std::memcpy(codes + i, &code, sizeof(C));
  }
}

size_t CodeSize(CodeKind kind) {
  switch (kind) {
    case CodeKind::kU8:
    case CodeKind::kI8:
      return 1;
    case CodeKind::kU16:
    case CodeKind::kI16:
      return 2;
    case CodeKind::kU32:
    case CodeKind::kI32:
      return 4;
  }
  return 0;
}

}  // namespace

void PackDense(const void* codes, CodeKind kind, size_t count, uint32_t bits,
               uint8_t* dense) {
  if (count == 0) return;  // the pointers may be null then
  const size_t size = CodeSize(kind);
  if (bits == 8 * size) {
    std::memcpy(dense, codes, count * size);
  } else if (size == 1) {
    const auto* bytes = static_cast<const uint8_t*>(codes);
    const size_t done =
        HWY_DYNAMIC_DISPATCH(PackBytes)(bytes, count, bits, dense);
    PackOneByOne(bytes + done, count - done, bits, dense + done / 8 * bits);
  } else if (size == 2) {
    PackOneByOne(static_cast<const uint16_t*>(codes), count, bits, dense);
  } else {
    PackOneByOne(static_cast<const uint32_t*>(codes), count, bits, dense);
  }
}

void UnpackDense(const uint8_t* dense, size_t count, uint32_t bits,
                 CodeKind kind, void* codes) {
  if (count == 0) return;
  const size_t size = CodeSize(kind);
  const bool is_signed =
      kind == CodeKind::kI8 || kind == CodeKind::kI16 || kind == CodeKind::kI32;
  if (bits == 8 * size) {
    std::memcpy(codes, dense, count * size);
  } else if (size == 1) {
    auto* bytes = static_cast<uint8_t*>(codes);
    const size_t done =
        HWY_DYNAMIC_DISPATCH(UnpackBytes)(dense, count, bits, bytes);
    UnpackOneByOne(dense + done / 8 * bits, count - done, bits, bytes + done);
    if (is_signed) ExtendSign(bytes, count, bits);
  } else if (size == 2) {
    auto* wide = static_cast<uint16_t*>(codes);
    UnpackOneByOne(dense, count, bits, wide);
    if (is_signed) ExtendSign(wide, count, bits);
  } else {
    auto* wide = static_cast<uint32_t*>(codes);
    UnpackOneByOne(dense, count, bits, wide);
    if (is_signed) ExtendSign(wide, count, bits);
  }
}

}  // namespace halfstep::kernels
#endif  // HWY_ONCE

// Codes of b bits, 1 to 32, as one stream of bits.
//
//   bit k of code i is bit (i * b + k) of the stream, lowest bit of the first
//   byte first; padding bits of the last byte are 0
//
// For 2 and 4 bits that is ONNX's layout. Nothing is allocated or checked.
#ifndef HALFSTEP_CORE_KERNELS_DENSE_H_
#define HALFSTEP_CORE_KERNELS_DENSE_H_

#include <cstddef>
#include <cstdint>

#include "core/kernels/run.h"

namespace halfstep::kernels {

// ceil(count * bits / 8).
constexpr uint64_t DenseBytes(uint64_t count, uint32_t bits) {
  return count / 8 * bits + (count % 8 * bits + 7) / 8;
}

// Packs `count` codes, two's complement if signed, into DenseBytes(count, bits)
// bytes. `kind` is the smallest that holds `bits`.
void PackDense(const void* codes, CodeKind kind, size_t count, uint32_t bits,
               uint8_t* dense);

// The inverse, with the sign extended for signed kinds.
void UnpackDense(const uint8_t* dense, size_t count, uint32_t bits,
                 CodeKind kind, void* codes);

}  // namespace halfstep::kernels

#endif  // HALFSTEP_CORE_KERNELS_DENSE_H_

// Elements of small tensors as numbers, and as the bytes that core works on.
#ifndef HALFSTEP_SERVER_API_NUMBERS_H_
#define HALFSTEP_SERVER_API_NUMBERS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/data_type.h"
#include "core/spec.h"

namespace halfstep {

// `values` as elements of `dtype`, each rounded once to nearest even; NaN and
// infinities stay what they are.
//
// INVALID_ARGUMENT ("values[i]") if a finite one is past the dtype's range.
absl::StatusOr<std::vector<std::byte>> RealsFromNumbers(
    DataType dtype, absl::Span<const double> values);

// `values` as codes, laid out as `spec`, resolved, says. Floating-point codes
// are given by their bit patterns.
//
// INVALID_ARGUMENT ("values[i]") if one is no code.
absl::StatusOr<std::vector<std::byte>> CodesFromNumbers(
    const Spec& spec, absl::Span<const int64_t> values);

// The inverse of each. `count` codes; padding bits are left out.
std::vector<double> NumbersFromReals(DataType dtype,
                                     absl::Span<const std::byte> reals);
std::vector<int64_t> NumbersFromCodes(const Spec& spec, int64_t count,
                                      absl::Span<const std::byte> codes);

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_API_NUMBERS_H_

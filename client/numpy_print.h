// Text as NumPy and Python write it, so that a notebook's output can be
// compared character by character: np.set_printoptions(suppress=True), 8
// digits, lines of 75 characters, arrays of more than 1000 elements summarized.
#ifndef HALFSTEP_CLIENT_NUMPY_PRINT_H_
#define HALFSTEP_CLIENT_NUMPY_PRINT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"

namespace halfstep {

// str(np.array(reals)) for one dimension: the shortest digits that tell a real
// from its neighbours, at most 8 after the point, aligned in columns. Exponents
// only from 1e8 on. "[]" if empty. NaN is "nan", infinity "inf".
std::string FormatArray(absl::Span<const double> reals);

// The same for integers.
std::string FormatArray(absl::Span<const int64_t> integers);

// repr(real): "0.05", "11.0", "1e-07", "inf", "nan".
std::string FormatScalar(double real);

// np.round(real, decimals) for decimals in [0, 22]: rint(real * 10^decimals) /
// 10^decimals, with the rounding errors that this has.
double RoundDecimals(double real, int decimals);
std::vector<double> RoundDecimals(absl::Span<const double> reals, int decimals);

}  // namespace halfstep

#endif  // HALFSTEP_CLIENT_NUMPY_PRINT_H_

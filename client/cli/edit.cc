#include "client/cli/edit.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace halfstep::cli {
namespace {

absl::Status Fault(absl::string_view edit, absl::string_view fault) {
  return absl::InvalidArgumentError(
      absl::StrCat("--edit: ", edit, "; ", fault));
}

// max or min of `reals` plus the signed number that follows, or a number alone.
bool Evaluate(absl::string_view what, const std::vector<double>& reals,
              double* real) {
  double base = 0;
  if (absl::ConsumePrefix(&what, "max")) {
    base = *std::max_element(reals.begin(), reals.end());
  } else if (absl::ConsumePrefix(&what, "min")) {
    base = *std::min_element(reals.begin(), reals.end());
  } else {
    return absl::SimpleAtod(what, real) && std::isfinite(*real);
  }
  double offset = 0;
  if (!what.empty()) {
    const bool has_sign = what[0] == '+' || what[0] == '-';
    if (!has_sign || !absl::SimpleAtod(what, &offset)) return false;
  }
  *real = base + offset;
  return std::isfinite(*real);
}

}  // namespace

absl::Status ApplyEdit(absl::string_view edit, std::vector<double>& reals) {
  const size_t equals = edit.find('=');
  size_t index = 0;
  if (equals == absl::string_view::npos ||
      !absl::SimpleAtoi(edit.substr(0, equals), &index)) {
    return Fault(edit, "must be INDEX=WHAT, such as 0=max+1");
  }
  if (index >= reals.size()) {
    return Fault(edit, absl::StrCat("the index must be below ", reals.size()));
  }
  double real = 0;
  if (!Evaluate(edit.substr(equals + 1), reals, &real)) {
    return Fault(edit,
                 "must set a finite number, or max or min with +NUMBER "
                 "or -NUMBER");
  }
  reals[index] = real;
  return absl::OkStatus();
}

}  // namespace halfstep::cli

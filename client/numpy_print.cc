#include "client/numpy_print.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace halfstep {
namespace {

constexpr size_t kLineWidth = 75;
constexpr size_t kThreshold = 1000;
constexpr size_t kEdgeItems = 3;
constexpr int kPrecision = 8;
// From here on NumPy writes exponents although they are suppressed.
constexpr double kExponentFrom = 1e8;

// The longest text below: 309 digits, a sign, a point and 8 more digits.
using Buffer = std::array<char, 512>;

std::string Shortest(double real, std::chars_format format) {
  Buffer buffer;
  const auto end =
      std::to_chars(buffer.begin(), buffer.end(), real, format).ptr;
  return std::string(buffer.data(), end);
}

std::string WithDigits(double real, std::chars_format format, int digits) {
  Buffer buffer;
  const auto end =
      std::to_chars(buffer.begin(), buffer.end(), real, format, digits).ptr;
  return std::string(buffer.data(), end);
}

// A number's text in the parts that are aligned separately.
struct Digits {
  std::string whole;     // with the sign
  std::string fraction;  // without the point, without trailing zeros
  std::string exponent;  // with its sign; empty in positional notation
};

Digits Split(absl::string_view text) {
  Digits digits;
  const size_t e = text.find('e');
  if (e != absl::string_view::npos) {
    digits.exponent = std::string(text.substr(e + 1));
    text = text.substr(0, e);
  }
  const size_t point = text.find('.');
  digits.whole = std::string(text.substr(0, point));
  if (point != absl::string_view::npos) {
    digits.fraction = std::string(text.substr(point + 1));
    digits.fraction.erase(digits.fraction.find_last_not_of('0') + 1);
  }
  return digits;
}

// The shortest digits if they are at most 8 after the point, else 8 of them.
Digits Parts(double real, std::chars_format format) {
  Digits digits = Split(Shortest(real, format));
  if (digits.fraction.size() > kPrecision) {
    digits = Split(WithDigits(real, format, kPrecision));
  }
  return digits;
}

// numpy.core.arrayprint.FloatingFormat: looks at all reals first, then writes
// each at the widths found.
class RealFormat {
 public:
  explicit RealFormat(absl::Span<const double> reals) {
    double largest = 0;
    for (const double real : reals) {
      if (std::isfinite(real)) largest = std::max(largest, std::fabs(real));
    }
    if (largest >= kExponentFrom) format_ = std::chars_format::scientific;
    for (const double real : reals) {
      if (!std::isfinite(real)) continue;
      const Digits digits = Parts(real, format_);
      whole_width_ = std::max(whole_width_, digits.whole.size());
      fraction_width_ = std::max(fraction_width_, digits.fraction.size());
      exponent_width_ = std::max(exponent_width_, digits.exponent.size());
    }
    for (const double real : reals) {
      if (std::isfinite(real)) continue;
      const size_t right = fraction_width_ + RightOfFraction() + 1;
      const size_t width = NonFinite(real).size();
      if (width > right + whole_width_) whole_width_ = width - right;
    }
  }

  std::string operator()(double real) const {
    if (!std::isfinite(real)) {
      const std::string text = NonFinite(real);
      const size_t width =
          whole_width_ + 1 + fraction_width_ + RightOfFraction();
      return absl::StrCat(std::string(width - text.size(), ' '), text);
    }
    Digits digits = Parts(real, format_);
    const bool fixed = format_ == std::chars_format::fixed;
    // With exponents, NumPy fills up with the digits that the double really
    // has.
    if (!fixed) {
      digits =
          Split(WithDigits(real, format_, static_cast<int>(fraction_width_)));
    }
    const size_t missing = fraction_width_ - digits.fraction.size();
    std::string text = absl::StrCat(
        std::string(whole_width_ - digits.whole.size(), ' '), digits.whole, ".",
        digits.fraction, std::string(missing, fixed ? ' ' : '0'));
    if (fixed) return text;
    // "+08" at the width of "+100" is "+008".
    digits.exponent.insert(1, exponent_width_ - digits.exponent.size(), '0');
    return absl::StrCat(text, "e", digits.exponent);
  }

 private:
  static std::string NonFinite(double real) {
    if (std::isnan(real)) return "nan";
    return real < 0 ? "-inf" : "inf";
  }

  size_t RightOfFraction() const {
    return exponent_width_ == 0 ? 0 : exponent_width_ + 1;
  }

  std::chars_format format_ = std::chars_format::fixed;
  size_t whole_width_ = 0;
  size_t fraction_width_ = 0;
  size_t exponent_width_ = 0;
};

class IntegerFormat {
 public:
  explicit IntegerFormat(absl::Span<const int64_t> integers) {
    for (const int64_t integer : integers) {
      width_ = std::max(width_, absl::StrCat(integer).size());
    }
  }

  std::string operator()(int64_t integer) const {
    const std::string text = absl::StrCat(integer);
    return absl::StrCat(std::string(width_ - text.size(), ' '), text);
  }

 private:
  size_t width_ = 0;
};

// Puts words into lines of at most kLineWidth - 1 characters: the closing
// bracket must fit, too.
class Lines {
 public:
  void Add(absl::string_view word) {
    const bool wrap =
        line_.size() + word.size() > kLineWidth - 1 && line_.size() > 1;
    if (wrap) {
      line_.erase(line_.find_last_not_of(' ') + 1);
      absl::StrAppend(&text_, line_, "\n");
      line_ = " ";
    }
    absl::StrAppend(&line_, word);
  }

  void Space() { line_.push_back(' '); }

  // The first line's indentation makes room for the bracket.
  std::string Finish() const {
    return absl::StrCat("[", absl::StrCat(text_, line_).substr(1), "]");
  }

 private:
  std::string text_;
  std::string line_ = " ";
};

template <typename Format, typename Element>
std::string FormatElements(absl::Span<const Element> elements) {
  if (elements.empty()) return "[]";
  const bool summarize = elements.size() > kThreshold;
  std::vector<Element> shown;
  if (summarize) {
    const auto first = elements.first(kEdgeItems);
    const auto last = elements.last(kEdgeItems);
    shown.assign(first.begin(), first.end());
    shown.insert(shown.end(), last.begin(), last.end());
    elements = shown;
  }
  const Format format(elements);
  Lines lines;
  for (size_t i = 0; i < elements.size(); ++i) {
    if (summarize && i == kEdgeItems) {
      lines.Add("...");
      lines.Space();
    }
    lines.Add(format(elements[i]));
    if (i + 1 < elements.size()) lines.Space();
  }
  return lines.Finish();
}

}  // namespace

std::string FormatArray(absl::Span<const double> reals) {
  return FormatElements<RealFormat>(reals);
}

std::string FormatArray(absl::Span<const int64_t> integers) {
  return FormatElements<IntegerFormat>(integers);
}

std::string FormatScalar(double real) {
  if (std::isnan(real)) return "nan";
  if (std::isinf(real)) return real < 0 ? "-inf" : "inf";
  const std::string scientific = Shortest(real, std::chars_format::scientific);
  const int exponent = std::stoi(scientific.substr(scientific.find('e') + 1));
  // Python's limits for repr().
  if (exponent < -4 || exponent >= 16) return scientific;
  std::string text = Shortest(real, std::chars_format::fixed);
  if (text.find('.') == std::string::npos) text += ".0";
  return text;
}

double RoundDecimals(double real, int decimals) {
  // A power of ten up to 10^22 is an exact double, whoever computes it.
  double factor = 1;
  for (int i = 0; i < decimals; ++i) factor *= 10;
  return std::nearbyint(real * factor) / factor;
}

std::vector<double> RoundDecimals(absl::Span<const double> reals,
                                  int decimals) {
  std::vector<double> rounded;
  rounded.reserve(reals.size());
  for (const double real : reals) {
    rounded.push_back(RoundDecimals(real, decimals));
  }
  return rounded;
}

}  // namespace halfstep

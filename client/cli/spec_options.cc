#include "client/cli/spec_options.h"

#include "client/cli/enum_names.h"

namespace halfstep::cli {
namespace {

constexpr char kGroup[] = "How to quantize";

template <typename Enum>
void AddEnum(CLI::App& command, const std::string& flag, std::string& value,
             const std::string& description) {
  command.add_option(flag, value, description)
      ->check(CLI::IsMember(ShortNames<Enum>()))
      ->option_text(Choice<Enum>())
      ->group(kGroup);
}

}  // namespace

void AddSpecOptions(CLI::App& command, SpecOptions& options) {
  command.add_option("--bits", options.bits, "Bits of a code, 1 to 32 [8]")
      ->option_text("BITS")
      ->group(kGroup);
  AddEnum<v1::Scheme>(
      command, "--scheme", options.scheme,
      "Whether real 0 may have a code other than 0 [asymmetric]");
  AddEnum<v1::CodeType>(command, "--code-type", options.code_type,
                        "What a code is [uint; int if symmetric]");
  AddEnum<v1::Profile>(command, "--profile", options.profile,
                       "Whose arithmetic to follow [onnx]");
  command
      .add_option("--axis", options.axis,
                  "One scale per index along this axis, or with --group-size "
                  "the axis of the groups; negative counts from the last")
      ->option_text("AXIS")
      ->group(kGroup);
  command
      .add_option("--group-size", options.group_size,
                  "One scale per this many elements along --axis [the last]")
      ->option_text("SIZE")
      ->group(kGroup);
  AddEnum<v1::Packing>(command, "--packing", options.packing,
                       "Whole bytes per code, or bits packed densely [none]");
  AddEnum<v1::NonFinitePolicy>(command, "--non-finite", options.non_finite,
                               "What NaN and infinities do [reject]");
  command
      .add_option("--clamp-min", options.clamp_min,
                  "Reals below become this, before anything else")
      ->option_text("REAL")
      ->group(kGroup);
  command
      .add_option("--clamp-max", options.clamp_max, "Reals above become this")
      ->option_text("REAL")
      ->group(kGroup);
  command
      .add_flag("--narrow-range", options.narrow_range,
                "Leave the lowest signed code out")
      ->option_text(" ")
      ->group(kGroup);
  CLI::Option* parameters =
      command
          .add_option(
              "--parameters", options.parameters_file,
              "Instead of all these, the scales and zero points in this .json")
          ->option_text("FILE")
          ->group(kGroup);
  for (CLI::Option* option : command.get_options()) {
    if (option != parameters && option->get_group() == kGroup) {
      parameters->excludes(option);
    }
  }
}

v1::QuantizationSpec SpecOf(const SpecOptions& options) {
  v1::QuantizationSpec spec;
  spec.set_scheme(ValueOf<v1::Scheme>(options.scheme));
  spec.set_bits(options.bits);
  spec.set_code_type(ValueOf<v1::CodeType>(options.code_type));
  spec.set_profile(ValueOf<v1::Profile>(options.profile));
  if (options.group_size.has_value()) {
    spec.mutable_granularity()->mutable_group()->set_size(*options.group_size);
    spec.mutable_granularity()->mutable_group()->set_axis(
        options.axis.value_or(-1));
  } else if (options.axis.has_value()) {
    spec.mutable_granularity()->set_axis(*options.axis);
  }
  spec.set_packing(ValueOf<v1::Packing>(options.packing));
  spec.set_non_finite_policy(ValueOf<v1::NonFinitePolicy>(options.non_finite));
  if (options.clamp_min.has_value()) {
    spec.mutable_clamp()->set_min(*options.clamp_min);
  }
  if (options.clamp_max.has_value()) {
    spec.mutable_clamp()->set_max(*options.clamp_max);
  }
  spec.set_narrow_range(options.narrow_range);
  return spec;
}

}  // namespace halfstep::cli

#include "client/cli/load_options.h"

#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "client/cli/enum_names.h"

namespace halfstep::cli {
namespace {

constexpr double kRateMax = 1e6;
constexpr int kConcurrencyMax = 10'000;
constexpr int kChannelsMax = 256;
constexpr int kOutstandingMax = 1'000'000;
constexpr absl::Duration kDurationMax = absl::Hours(24);

const std::vector<std::pair<std::string, load::Rpc>>& Rpcs() {
  static const auto& rpcs = *new std::vector<std::pair<std::string, load::Rpc>>{
      {"quantize", load::Rpc::kQuantize},
      {"dequantize", load::Rpc::kDequantize},
      {"fake-quantize", load::Rpc::kFakeQuantize},
      {"error", load::Rpc::kError},
      {"parameters", load::Rpc::kParameters}};
  return rpcs;
}

absl::Status Fault(absl::string_view option, absl::string_view what,
                   absl::string_view must_be) {
  return absl::InvalidArgumentError(
      absl::StrCat(option, ": ", what, "; must be ", must_be));
}

// "1.5s", "200ms", "2m", or a number of seconds.
absl::StatusOr<absl::Duration> DurationOf(absl::string_view option,
                                          const std::string& text,
                                          absl::Duration least) {
  absl::Duration duration;
  double seconds = 0;
  if (absl::SimpleAtod(text, &seconds)) {
    duration = absl::Seconds(seconds);
  } else if (!absl::ParseDuration(text, &duration)) {
    return Fault(option, absl::StrCat("'", text, "'"),
                 "a time such as 10s or 500ms");
  }
  // Not as !(in range): a NaN of seconds becomes an infinite duration.
  if (duration < least || duration > kDurationMax) {
    return Fault(option, text,
                 absl::StrCat("in [", absl::FormatDuration(least), ", ",
                              absl::FormatDuration(kDurationMax), "]"));
  }
  return duration;
}

absl::StatusOr<uint64_t> SizeOf(absl::string_view option,
                                const std::string& text) {
  uint64_t size = 0;
  try {
    std::string bytes = text;
    if (CLI::AsSizeValue(/*kb_is_1000=*/true)(bytes).empty() &&
        absl::SimpleAtoi(bytes, &size)) {
      return size;
    }
  } catch (const CLI::ValidationError&) {
    // Its message names neither the option nor an example.
  }
  return Fault(option, absl::StrCat("'", text, "'"),
               "a size such as 4096, 64KiB or 1MiB");
}

absl::StatusOr<load::Rpc> RpcOf(absl::string_view option,
                                const std::string& name) {
  std::vector<std::string> names;
  for (const auto& [known, rpc] : Rpcs()) {
    if (known == name) return rpc;
    names.push_back(known);
  }
  return Fault(option, absl::StrCat("'", name, "'"),
               absl::StrCat("one of ", absl::StrJoin(names, ", ")));
}

absl::StatusOr<v1::Scheme> SchemeOf(absl::string_view option,
                                    const std::string& name) {
  const auto scheme = ValueOf<v1::Scheme>(name);
  if (scheme != v1::SCHEME_UNSPECIFIED) return scheme;
  return Fault(
      option, absl::StrCat("'", name, "'"),
      absl::StrCat("one of ", absl::StrJoin(ShortNames<v1::Scheme>(), ", ")));
}

// Reads "VALUE" or "VALUE:WEIGHT" of each entry.
template <typename T, typename Parse>
absl::Status ReadMix(absl::string_view option,
                     const std::vector<std::string>& entries,
                     const Parse& parse, std::vector<load::Weighted<T>>& mix) {
  for (const std::string& entry : entries) {
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(entry, absl::MaxSplits(':', 1));
    double weight = 1;
    if (entry.find(':') != std::string::npos &&
        (!absl::SimpleAtod(parts.second, &weight) || !(weight > 0) ||
         !(weight <= 1e9))) {
      return Fault(option, absl::StrCat("weight '", parts.second, "'"),
                   "a number in (0, 1000000000]");
    }
    absl::StatusOr<T> value = parse(option, parts.first);
    if (!value.ok()) return value.status();
    mix.push_back({*value, weight});
  }
  if (mix.empty()) return Fault(option, "empty", "a list such as A:3,B:1");
  return absl::OkStatus();
}

absl::Status CheckRanges(const LoadOptions& options) {
  for (const double rate : options.rates) {
    if (!(rate > 0) || !(rate <= kRateMax)) {
      return Fault("--rate", absl::StrCat(rate),
                   absl::StrFormat("in (0, %.0f] calls per second", kRateMax));
    }
  }
  const auto in_range = [](absl::string_view option, int value, int most) {
    if (value >= 1 && value <= most) return absl::OkStatus();
    return Fault(option, absl::StrCat(value),
                 absl::StrCat("in [1, ", most, "]"));
  };
  std::vector<absl::Status> checks;
  for (const int concurrency : options.concurrencies) {
    checks.push_back(in_range("--concurrency", concurrency, kConcurrencyMax));
  }
  checks.push_back(in_range("--channels", options.channels, kChannelsMax));
  checks.push_back(in_range("--threads", options.threads, kChannelsMax));
  checks.push_back(
      in_range("--max-outstanding", options.outstanding_max, kOutstandingMax));
  checks.push_back(in_range("--max-steps", options.steps_max, 100));
  for (const absl::Status& check : checks) {
    if (!check.ok()) return check;
  }
  for (const double fraction : options.verify) {
    if (!(fraction >= 0) || !(fraction <= 1)) {
      return Fault("--verify", absl::StrCat(fraction), "in [0, 1]");
    }
  }
  return absl::OkStatus();
}

// Reads "NAME=INTEGER" of each entry.
absl::Status ReadChannelSettings(const std::vector<std::string>& entries,
                                 std::vector<load::ChannelSetting>& settings) {
  for (const std::string& entry : entries) {
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(entry, absl::MaxSplits('=', 1));
    int value = 0;
    if (!absl::StartsWith(parts.first, "grpc.") ||
        !absl::SimpleAtoi(parts.second, &value)) {
      return Fault("--channel-setting", absl::StrCat("'", entry, "'"),
                   "an argument of gRPC's channels, such as "
                   "grpc.http2.max_frame_size=16384");
    }
    settings.emplace_back(parts.first, value);
  }
  return absl::OkStatus();
}

absl::Status MakeSteps(const LoadOptions& options, double timeout_seconds,
                       LoadPlan& plan) {
  const absl::StatusOr<absl::Duration> duration =
      DurationOf("--duration", options.duration, absl::Milliseconds(100));
  if (!duration.ok()) return duration.status();
  const absl::StatusOr<absl::Duration> warmup =
      DurationOf("--warmup", options.warmup, absl::ZeroDuration());
  if (!warmup.ok()) return warmup.status();
  load::StepOptions step;
  step.arrivals = options.arrivals == "poisson" ? load::ArrivalKind::kPoisson
                                                : load::ArrivalKind::kConstant;
  step.concurrency = 16;
  step.outstanding_max = options.outstanding_max;
  step.duration = *duration;
  step.warmup = *warmup;
  step.timeout = absl::Seconds(timeout_seconds);
  step.threads = options.threads;
  // Without a value: all of them.
  if (!options.verify.empty()) step.verify_fraction = options.verify.front();
  step.seed = options.seed;
  if (options.find_rate) {
    const absl::StatusOr<absl::Duration> bound =
        DurationOf("--p99-below", options.p99_below, absl::Microseconds(1));
    if (!bound.ok()) return bound.status();
    if (options.rates.size() > 1 || options.concurrencies.size() > 1) {
      return Fault("--find-rate", "with several rates or concurrencies",
                   "with one, to begin with");
    }
    plan.limit = load::LimitOptions{
        .p99_below = *bound,
        .steps_max = options.steps_max,
        .first_rate = options.rates.empty() ? 0 : options.rates.front()};
  }
  for (const int concurrency : options.concurrencies) {
    step.concurrency = concurrency;
    plan.steps.push_back(step);
  }
  if (plan.limit.has_value() && !plan.steps.empty()) return absl::OkStatus();
  for (const double rate : options.rates) {
    step.rate = rate;
    plan.steps.push_back(step);
  }
  if (plan.steps.empty()) plan.steps.push_back(step);
  return absl::OkStatus();
}

// Refuses what makes no sense with or without ComputeParameters; the rest the
// server refuses.
absl::Status CheckParameters(const LoadOptions& options,
                             const load::MixOptions& mix) {
  const bool are_sent = mix.Sends(load::Rpc::kParameters);
  if (!are_sent && !options.method.empty()) {
    return Fault("--method", options.method,
                 "given only with parameters among --rpcs");
  }
  if (are_sent && options.group_size != 0) {
    return Fault("--group-size", absl::StrCat(options.group_size),
                 "left out with parameters among --rpcs: a calibration state "
                 "has no groups");
  }
  return absl::OkStatus();
}

absl::Status MakeMixes(const LoadOptions& options, LoadPlan& plan) {
  load::MixOptions mix;
  absl::Status status = ReadMix("--rpcs", options.rpcs, RpcOf, mix.rpcs);
  if (status.ok()) {
    status = ReadMix("--schemes", options.schemes, SchemeOf, mix.schemes);
  }
  if (status.ok()) status = CheckParameters(options, mix);
  if (!status.ok()) return status;
  mix.dtype = ValueOf<v1::DataType>(options.dtype);
  mix.spec.set_bits(options.bits);
  mix.spec.set_packing(ValueOf<v1::Packing>(options.packing));
  if (options.group_size != 0) {
    mix.spec.mutable_granularity()->mutable_group()->set_axis(-1);
    mix.spec.mutable_granularity()->mutable_group()->set_size(
        options.group_size);
  }
  if (!options.method.empty()) {
    mix.method = ValueOf<v1::CalibrationMethod>(options.method);
  }
  mix.measure_error = options.measure_error;
  mix.seed = options.seed;
  if (options.sweep_sizes.empty()) {
    status = ReadMix("--sizes", options.sizes, SizeOf, mix.sizes);
    if (!status.ok()) return status;
    plan.mixes.push_back(std::move(mix));
    return absl::OkStatus();
  }
  for (const std::string& text : options.sweep_sizes) {
    const absl::StatusOr<uint64_t> size = SizeOf("--sweep-sizes", text);
    if (!size.ok()) return size.status();
    mix.sizes = {{*size, 1}};
    plan.mixes.push_back(mix);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<LoadPlan> PlanOf(const LoadOptions& options,
                                double timeout_seconds) {
  LoadPlan plan;
  plan.channels = options.channels;
  absl::Status status = CheckRanges(options);
  if (status.ok()) {
    status =
        ReadChannelSettings(options.channel_settings, plan.channel_settings);
  }
  if (status.ok()) status = MakeMixes(options, plan);
  if (status.ok()) status = MakeSteps(options, timeout_seconds, plan);
  if (!status.ok()) return status;
  return plan;
}

void AddLoadOptions(CLI::App& command, LoadOptions& options) {
  const auto add = [&command](const char* group, const char* flag, auto& value,
                              const char* what, const char* text) {
    return command.add_option(flag, value, text)
        ->option_text(what)
        ->group(group);
  };
  constexpr char kLoad[] = "How much";
  CLI::Option* rate = add(kLoad, "--rate,--rates", options.rates, "R[,R...]",
                          "Open loop: calls per second, one step for each");
  CLI::Option* concurrency =
      add(kLoad, "--concurrency,--concurrencies", options.concurrencies,
          "N[,N...]", "Closed loop: calls in flight, one step for each [16]");
  CLI::Option* find =
      command
          .add_flag("--find-rate", options.find_rate,
                    "Find the highest rate with p99 below --p99-below")
          ->group(kLoad);
  rate->delimiter(',');
  concurrency->delimiter(',')->excludes(rate);
  add(kLoad, "--p99-below", options.p99_below, "TIME", "[10ms]")->needs(find);
  add(kLoad, "--max-steps", options.steps_max, "N",
      "Rates that --find-rate tries at most [16]")
      ->needs(find);
  add(kLoad, "--arrivals", options.arrivals, "{constant,poisson}",
      "Open loop: evenly spaced, or as from many callers [constant]")
      ->check(CLI::IsMember({"constant", "poisson"}));
  add(kLoad, "--duration", options.duration, "TIME", "Of a step [10s]");
  add(kLoad, "--warmup", options.warmup, "TIME",
      "Before each step, not measured [1s]");

  constexpr char kWhat[] = "What to send (lists are mixes: 4KiB:9,1MiB:1)";
  add(kWhat, "--rpcs", options.rpcs, "RPC[:WEIGHT],...",
      "quantize, dequantize, fake-quantize, error, parameters [quantize]")
      ->delimiter(',');
  CLI::Option* sizes = add(kWhat, "--sizes", options.sizes, "SIZE[:WEIGHT],...",
                           "Bytes of reals of a tensor [64KiB]")
                           ->delimiter(',');
  add(kWhat, "--sweep-sizes", options.sweep_sizes, "SIZE,...",
      "No mix: all steps for each size")
      ->delimiter(',')
      ->excludes(sizes);
  add(kWhat, "--schemes", options.schemes, "SCHEME[:WEIGHT],...",
      "asymmetric, symmetric [asymmetric]")
      ->delimiter(',');
  add(kWhat, "--dtype", options.dtype, "TYPE",
      "float32, float64, float16 or bfloat16 [float32]")
      ->check(CLI::IsMember(ShortNames<v1::DataType>()));
  add(kWhat, "--bits", options.bits, "BITS", "Of a code, 1 to 32 [8]");
  add(kWhat, "--packing", options.packing, "{none,dense}", "Of codes [none]")
      ->check(CLI::IsMember(ShortNames<v1::Packing>()));
  add(kWhat, "--group-size", options.group_size, "N",
      "One scale per this many elements [one for all]");
  add(kWhat, "--method", options.method,
      Choice<v1::CalibrationMethod>().c_str(),
      "Of parameters: how they are chosen [mse]")
      ->check(CLI::IsMember(ShortNames<v1::CalibrationMethod>()));
  command
      .add_flag("--measure-error", options.measure_error,
                "Ask quantize and fake-quantize for their error, too")
      ->group(kWhat);
  add(kWhat, "--seed", options.seed, "N",
      "Of the reals, mixes and Poisson arrivals [1]");

  constexpr char kHow[] = "How to send it";
  add(kHow, "--channels", options.channels, "N", "Connections [4]");
  add(kHow, "--channel-setting", options.channel_settings, "NAME=INTEGER",
      "An argument of gRPC's channels (repeatable), to measure what it does")
      ->allow_extra_args(false);
  add(kHow, "--threads", options.threads, "N",
      "Threads that take up replies [2]");
  add(kHow, "--max-outstanding", options.outstanding_max, "N",
      "Open loop: calls in flight at most [10000]");

  constexpr char kResults[] = "Results";
  add(kResults, "--verify", options.verify, "[SHARE]",
      "Check this share of the answers bit for bit [1]")
      ->expected(0, 1)
      ->default_str("1");
  add(kResults, "--csv", options.csv_file, "FILE", "Write a line per step");
  add(kResults, "--html", options.html_file, "FILE",
      "Write a report with plots");
}

}  // namespace halfstep::cli

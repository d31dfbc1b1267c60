#include "client/cli/load_print.h"

#include <cstdio>
#include <iostream>
#include <numeric>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli/enum_names.h"
#include "client/cli/progress.h"
#include "client/cli/report.h"

namespace halfstep::cli {
namespace {

using load::Row;
using load::StepResult;

std::string RpcName(load::Rpc rpc) {
  switch (rpc) {
    case load::Rpc::kQuantize:
      return "quantize";
    case load::Rpc::kDequantize:
      return "dequantize";
    case load::Rpc::kFakeQuantize:
      return "fake-quantize";
    case load::Rpc::kError:
      return "error";
    case load::Rpc::kParameters:
      return "parameters";
  }
  return "";
}

// "quantize", or a mix: "quantize:3 + dequantize:1".
template <typename T, typename Name>
std::string Entries(const std::vector<load::Weighted<T>>& mix,
                    const Name& name) {
  if (mix.size() == 1) return name(mix.front().value);
  std::vector<std::string> entries;
  entries.reserve(mix.size());
  for (const load::Weighted<T>& entry : mix) {
    entries.push_back(
        absl::StrFormat("%s:%g", name(entry.value), entry.weight));
  }
  return absl::StrJoin(entries, " + ");
}

std::string LoadOf(const load::StepOptions& options) {
  if (options.rate <= 0) {
    return absl::StrFormat("closed loop, %d at a time", options.concurrency);
  }
  return absl::StrFormat(
      "open loop, %g/s, %s", options.rate,
      options.arrivals == load::ArrivalKind::kPoisson ? "Poisson" : "constant");
}

std::string Throughput(const StepResult& result) {
  return absl::StrFormat("%.1f calls/s, %.3f GB/s in, %.3f GB/s out",
                         result.calls_per_second(),
                         1e-9 * result.PerSecond(result.request_bytes),
                         1e-9 * result.PerSecond(result.reply_bytes));
}

// "none", or "12 RESOURCE_EXHAUSTED (tensor: ...), 1 INTERNAL (...)".
std::string Failed(const StepResult& result) {
  std::vector<std::string> codes;
  for (const auto& [code, failures] : result.failures) {
    std::string message = failures.first_message;
    for (char& character : message) {
      if (absl::ascii_iscntrl(static_cast<unsigned char>(character))) {
        character = ' ';
      }
    }
    codes.push_back(absl::StrCat(failures.count, " ",
                                 absl::StatusCodeToString(code), " (", message,
                                 ")"));
  }
  return codes.empty() ? "none" : absl::StrJoin(codes, ", ");
}

uint64_t FailedCount(const StepResult& result) {
  return std::accumulate(
      result.failures.begin(), result.failures.end(), uint64_t{0},
      [](uint64_t sum, const auto& entry) { return sum + entry.second.count; });
}

void PrintWarnings(const StepResult& result) {
  for (const std::string& warning : load::Warnings(result)) {
    std::cout << "warning: " << warning << '\n';
  }
}

}  // namespace

std::string FormatLatency(int64_t ns) {
  const double seconds = 1e-9 * static_cast<double>(ns);
  if (ns < 1'000'000) return absl::StrFormat("%.0f us", 1e6 * seconds);
  if (ns < 1'000'000'000) return absl::StrFormat("%.2f ms", 1e3 * seconds);
  return absl::StrFormat("%.2f s", seconds);
}

std::string FormatSize(uint64_t bytes) {
  constexpr uint64_t kKibi = 1024;
  if (bytes > 0 && bytes % (kKibi * kKibi) == 0) {
    return absl::StrCat(bytes / (kKibi * kKibi), "MiB");
  }
  if (bytes > 0 && bytes % kKibi == 0)
    return absl::StrCat(bytes / kKibi, "KiB");
  return absl::StrCat(bytes, "B");
}

std::string Describe(const load::MixOptions& mix) {
  const uint32_t bits = mix.spec.bits();
  return absl::StrCat(
      Entries(mix.rpcs, RpcName), ", ", Entries(mix.sizes, FormatSize), ", ",
      ShortName(mix.dtype), ", ", bits == 0 ? 8 : bits, " bits, ",
      Entries(mix.schemes, [](v1::Scheme scheme) { return ShortName(scheme); }),
      mix.spec.granularity().has_group()
          ? absl::StrCat(", groups of ", mix.spec.granularity().group().size())
          : "",
      mix.Sends(load::Rpc::kParameters)
          ? absl::StrCat(", method ", ShortName(mix.method))
          : "",
      mix.measure_error ? ", with the error" : "");
}

LiveLine::LiveLine() : is_terminal_(CanErase()) {}

void LiveLine::Show(const load::Progress& progress) {
  // Twice a second is as much as one can read.
  if (!is_terminal_ || ticks_++ % 5 != 0) return;
  const StepResult so_far = progress.so_far();
  std::fprintf(stderr,
               "\r\x1b[K%.0f of %.0f s%s  %.0f calls/s  p50 %s  p99 %s  "
               "%d in flight  %llu failed",
               absl::ToDoubleSeconds(progress.elapsed),
               absl::ToDoubleSeconds(progress.total),
               progress.warming_up ? " (warm-up)" : "",
               so_far.calls_per_second(),
               FormatLatency(so_far.latency.Quantile(0.5)).c_str(),
               FormatLatency(so_far.latency.Quantile(0.99)).c_str(),
               progress.outstanding,
               static_cast<unsigned long long>(FailedCount(so_far)));
  std::fflush(stderr);
  shown_ = true;
}

void LiveLine::Clear() {
  if (shown_) std::fputs("\r\x1b[K", stderr);
  shown_ = false;
}

void PrintStep(const Row& row) {
  const StepResult& result = row.result;
  Report report;
  report.Add("calls", row.calls);
  report.Add("load", LoadOf(result.options));
  report.Add("measured", absl::StrFormat("%d calls in %.2f s%s", result.calls,
                                         result.seconds,
                                         result.partial() ? ", partial" : ""));
  report.Add("throughput", Throughput(result));
  std::vector<std::string> latencies;
  for (const auto& [name, share] : load::Percentiles()) {
    latencies.push_back(
        absl::StrCat(name, " ", FormatLatency(result.latency.Quantile(share))));
  }
  latencies.push_back(
      absl::StrCat("max ", FormatLatency(result.latency.max())));
  report.Add("latency", absl::StrJoin(latencies, ", "));
  report.Add("failed", Failed(result));
  if (result.unfinished > 0) {
    report.Add("unfinished", absl::StrCat(result.unfinished));
  }
  if (result.options.rate > 0) {
    report.Add("sent late", absl::StrCat(result.late, ", at worst ",
                                         FormatLatency(result.latest_ns)));
  }
  if (result.options.verify_fraction > 0) {
    report.Add("verified", absl::StrCat(result.verified, " answers"));
  }
  report.Add("client",
             absl::StrFormat("%.2f of %d cores, busiest thread %.0f %%",
                             result.cpu_cores, load::Cores(),
                             100 * result.busiest_thread));
  report.Print();
  PrintWarnings(result);
}

void PrintTableHeader() {
  std::cout << absl::StrFormat("%9s %9s %10s %7s", "load", "size", "calls/s",
                               "GB/s");
  for (const auto& [name, share] : load::Percentiles()) {
    std::cout << absl::StrFormat(" %9s", name);
  }
  std::cout << absl::StrFormat(" %9s %7s %6s\n", "max", "failed", "cores");
}

void PrintTableLine(const Row& row) {
  const StepResult& result = row.result;
  const std::string load = result.options.rate > 0
                               ? absl::StrFormat("%.5g/s", result.options.rate)
                               : absl::StrCat(result.options.concurrency);
  std::cout << absl::StrFormat(
      "%9s %9s %10.1f %7.3f", load,
      row.real_bytes > 0 ? FormatSize(row.real_bytes) : "mix",
      result.calls_per_second(), 1e-9 * result.PerSecond(result.request_bytes));
  for (const auto& [name, share] : load::Percentiles()) {
    std::cout << absl::StrFormat(" %9s",
                                 FormatLatency(result.latency.Quantile(share)));
  }
  std::cout << absl::StrFormat(" %9s %7d %6.2f%s\n",
                               FormatLatency(result.latency.max()),
                               FailedCount(result), result.cpu_cores,
                               result.partial() ? "  partial" : "");
  PrintWarnings(result);
  std::cout.flush();
}

void PrintLimit(const load::Limit& limit, absl::Duration p99_below) {
  const std::string bound = absl::FormatDuration(p99_below);
  if (!limit.rate.has_value()) {
    std::cout << absl::StrFormat("limit: none: p99 is not below %s at %.5g/s\n",
                                 bound, limit.too_high.value_or(0));
    return;
  }
  std::cout << absl::StrFormat("limit: %.5g/s with p99 below %s", *limit.rate,
                               bound);
  if (limit.too_high.has_value()) {
    std::cout << absl::StrFormat("; %.5g/s is too much", *limit.too_high);
    if (limit.client_was_bottleneck) std::cout << " for this client";
  }
  std::cout << '\n';
}

}  // namespace halfstep::cli

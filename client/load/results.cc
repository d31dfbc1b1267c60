#include "client/load/results.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

namespace halfstep::load {
namespace {

// A thread or a process that is busy for this share of the time is not waiting
// for the server.
constexpr double kBusy = 0.9;
// Share of the calls that may be late before the rate counts as missed.
constexpr double kLateShare = 0.01;

// Divided, not multiplied by 1e-9: the nearest double to the decimal number.
double Seconds(double ns) { return ns / 1e9; }
double Seconds(int64_t ns) { return Seconds(static_cast<double>(ns)); }

double GbPerSecond(const StepResult& result, uint64_t bytes) {
  return result.PerSecond(bytes) / 1e9;
}

// Nine digits: more than any measurement has.
std::string Short(double number) { return absl::StrFormat("%.9g", number); }

// The curve that the report draws: latency at shares ever closer to 1, twelve
// for each further 9, as far as there are calls.
nlohmann::ordered_json Curve(const LatencyHistogram& latency) {
  auto curve = nlohmann::ordered_json::array();
  if (latency.count() == 0) return curve;
  const double beyond = static_cast<double>(latency.count());
  for (int i = 0;; ++i) {
    const double calls_per_slower = std::pow(10, i / 12.0);
    if (calls_per_slower >= beyond) break;
    const double share = 1 - 1 / calls_per_slower;
    curve.push_back({share, Seconds(latency.Quantile(share))});
  }
  curve.push_back({1 - 1 / beyond, Seconds(latency.max())});
  return curve;
}

nlohmann::ordered_json LatencyToJson(const LatencyHistogram& latency) {
  nlohmann::ordered_json json;
  json["min"] = Seconds(latency.min());
  json["mean"] = Seconds(latency.mean());
  for (const auto& [name, share] : Percentiles()) {
    json[name] = Seconds(latency.Quantile(share));
  }
  json["max"] = Seconds(latency.max());
  return json;
}

uint64_t FailureCount(const StepResult& result) {
  uint64_t count = 0;
  for (const auto& [code, failures] : result.failures) count += failures.count;
  return count;
}

}  // namespace

const std::vector<std::pair<std::string, double>>& Percentiles() {
  static const auto& percentiles =
      *new std::vector<std::pair<std::string, double>>{{"p50", 0.5},
                                                       {"p90", 0.9},
                                                       {"p99", 0.99},
                                                       {"p99.9", 0.999},
                                                       {"p99.99", 0.9999}};
  return percentiles;
}

int Cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

const char* NameOf(Stop stop) {
  switch (stop) {
    case Stop::kNot:
      return "";
    case Stop::kInterrupted:
      return "interrupted";
    case Stop::kServerGone:
      return "server gone";
    case Stop::kWrongAnswer:
      return "wrong answer";
  }
  return "";
}

const char* LoopOf(const StepOptions& options) {
  return options.rate > 0 ? "open" : "closed";
}

std::vector<std::string> Warnings(const StepResult& result) {
  std::vector<std::string> warnings;
  if (result.busiest_thread >= kBusy) {
    warnings.push_back(absl::StrFormat(
        "the client is the bottleneck: a thread of it was busy for %.0f %% of "
        "the time; use more --threads and --channels, or several clients",
        100 * result.busiest_thread));
  } else if (result.cpu_cores >= kBusy * Cores()) {
    warnings.push_back(absl::StrFormat(
        "the client is the bottleneck: it used %.2f of its %d cores",
        result.cpu_cores, Cores()));
  }
  const uint64_t calls = result.calls + result.unfinished;
  if (static_cast<double>(result.late) >
      kLateShare * static_cast<double>(calls)) {
    warnings.push_back(absl::StrFormat(
        "%d of %d calls were sent more than %s late, at worst %.3g s: the rate "
        "was not offered as asked for (their latencies count from when they "
        "were due)",
        result.late, calls, absl::FormatDuration(kLate),
        Seconds(result.latest_ns)));
  }
  return warnings;
}

nlohmann::ordered_json ToJson(const Row& row) {
  const StepResult& result = row.result;
  const StepOptions& options = result.options;
  nlohmann::ordered_json json;
  json["calls_sent"] = row.calls;
  if (row.real_bytes > 0) json["size_bytes"] = row.real_bytes;
  json["loop"] = LoopOf(options);
  if (options.rate > 0) {
    json["rate"] = options.rate;
    json["arrivals"] =
        options.arrivals == ArrivalKind::kPoisson ? "poisson" : "constant";
  } else {
    json["concurrency"] = options.concurrency;
  }
  json["partial"] = result.partial();
  if (result.partial()) {
    json["stopped"] = NameOf(result.stop);
    if (!result.stop_reason.ok()) {
      json["stop_reason"] = std::string(result.stop_reason.message());
    }
  }
  json["seconds"] = result.seconds;
  json["calls"] = result.calls;
  json["ok"] = result.ok;
  json["failed"] = FailureCount(result);
  json["unfinished"] = result.unfinished;
  json["errors"] = nlohmann::ordered_json::object();
  for (const auto& [code, failures] : result.failures) {
    json["errors"][absl::StatusCodeToString(code)] = {
        {"count", failures.count}, {"first_message", failures.first_message}};
  }
  json["calls_per_second"] = result.calls_per_second();
  json["gb_per_second_in"] = GbPerSecond(result, result.request_bytes);
  json["gb_per_second_out"] = GbPerSecond(result, result.reply_bytes);
  json["latency_seconds"] = LatencyToJson(result.latency);
  json["latency_curve"] = Curve(result.latency);
  json["late"] = result.late;
  json["latest_seconds"] = Seconds(result.latest_ns);
  json["verified"] = result.verified;
  json["client_cpu_cores"] = result.cpu_cores;
  json["client_busiest_thread"] = result.busiest_thread;
  json["warnings"] = Warnings(result);
  return json;
}

std::string ToCsv(const std::vector<Row>& rows) {
  std::string csv =
      "calls_sent,size_bytes,loop,rate,concurrency,partial,seconds,calls,ok,"
      "failed,unfinished,calls_per_second,gb_per_second_in,gb_per_second_out,"
      "min_seconds,mean_seconds";
  for (const auto& [name, share] : Percentiles()) {
    absl::StrAppend(&csv, ",", name, "_seconds");
  }
  absl::StrAppend(&csv,
                  ",max_seconds,late,verified,client_cpu_cores,"
                  "client_busiest_thread\n");
  for (const Row& row : rows) {
    const StepResult& result = row.result;
    const LatencyHistogram& latency = result.latency;
    const bool open = result.options.rate > 0;
    absl::StrAppend(
        &csv, "\"", absl::StrReplaceAll(row.calls, {{"\"", "\"\""}}), "\",",
        row.real_bytes, ",", LoopOf(result.options), ",",
        Short(result.options.rate), ",", open ? 0 : result.options.concurrency,
        ",", result.partial() ? "true" : "false", ",", Short(result.seconds),
        ",", result.calls, ",", result.ok, ",", FailureCount(result), ",",
        result.unfinished, ",");
    absl::StrAppend(&csv, Short(result.calls_per_second()), ",",
                    Short(GbPerSecond(result, result.request_bytes)), ",",
                    Short(GbPerSecond(result, result.reply_bytes)), ",",
                    Short(Seconds(latency.min())), ",",
                    Short(Seconds(latency.mean())));
    for (const auto& [name, share] : Percentiles()) {
      absl::StrAppend(&csv, ",", Short(Seconds(latency.Quantile(share))));
    }
    absl::StrAppend(&csv, ",", Short(Seconds(latency.max())), ",", result.late,
                    ",", result.verified, ",", Short(result.cpu_cores), ",",
                    Short(result.busiest_thread), "\n");
  }
  return csv;
}

}  // namespace halfstep::load

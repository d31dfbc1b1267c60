// halfstep info: what a server is and how much it takes.
#include <cmath>
#include <iostream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "client/cli/command.h"
#include "client/cli/connection.h"
#include "client/cli/report.h"
#include "client/message_json.h"

namespace halfstep::cli {
namespace {

// 268435456 as "256 MiB", 1000 as "1000 bytes": nothing is rounded.
std::string Size(uint64_t bytes) {
  constexpr const char* kUnits[] = {"bytes", "KiB", "MiB", "GiB"};
  size_t unit = 0;
  while (bytes != 0 && bytes % 1024 == 0 && unit + 1 < std::size(kUnits)) {
    bytes /= 1024;
    ++unit;
  }
  return absl::StrCat(bytes, " ", kUnits[unit]);
}

std::string Time(double seconds) {
  if (std::isinf(seconds)) return "no limit";
  return absl::FormatDuration(absl::Seconds(seconds));
}

void PrintServer(const v1::GetServerInfoResponse& info,
                 const std::string& server) {
  Report report;
  report.Add("server", server.empty() ? "inside this process" : server);
  report.Add("version", info.version());
  report.Add("numerics", absl::StrCat("version ", info.numerics_version()));
  report.Add("instruction set", info.simd_target());
  report.Add("threads", absl::StrCat(info.worker_threads()));
  if (info.has_build()) {
    const auto& build = info.build();
    report.Add("compiler", build.compiler());
    report.Add("libraries",
               absl::StrCat("gRPC ", build.grpc_version(),
                            ", Protocol Buffers ", build.protobuf_version()));
    report.Add("can use", absl::StrJoin(build.simd_targets(), " "));
  }
  report.Print();
}

void PrintCallLimits(const v1::GetServerInfoResponse& info) {
  std::cout << "\nOne call\n";
  Report report;
  report.Add("  payload of a message", Size(info.max_message_bytes()));
  report.Add("  held back by a stream", Size(info.max_buffered_bytes()));
  report.Add("  dimensions of a tensor", absl::StrCat(info.max_dimensions()));
  report.Add("  scales of a tensor", absl::StrCat(info.max_parameter_pairs()));
  report.Add("  elements as values", absl::StrCat(info.max_values()));
  report.Add("  calibration indices",
             absl::StrCat(info.max_calibration_summaries()));
  report.Print();
}

void PrintLoadLimits(const v1::GetServerInfoResponse& info) {
  std::cout << "\nAll calls together\n";
  Report report;
  report.Add("  bytes in flight", Size(info.max_bytes_in_flight()));
  report.Add("  waiting to be read", absl::StrCat(info.max_waiting_calls()));
  report.Add("  waiting for a thread", absl::StrCat(info.max_queued_calls()));
  report.Add("  client makes no move", Time(info.stall_timeout_seconds()));
  report.Print();
}

void PrintConnectionLimits(
    const v1::GetServerInfoResponse::ConnectionLimits& limits) {
  std::cout << "\nConnections\n";
  Report report;
  report.Add("  open",
             absl::StrCat(limits.max_connections(), ", ",
                          limits.max_connections_per_host(), " from one host"));
  report.Add("  calls on each",
             absl::StrCat(limits.max_streams_per_connection()));
  report.Add("  metadata of a call", Size(limits.max_metadata_bytes()));
  report.Add("  handshake", Time(limits.handshake_timeout_seconds()));
  report.Add("  idle", Time(limits.max_connection_idle_seconds()));
  report.Add("  age",
             absl::StrCat(Time(limits.max_connection_age_seconds()),
                          ", and for calls to finish ",
                          Time(limits.max_connection_age_grace_seconds())));
  report.Add("  keepalive",
             absl::StrCat("after ", Time(limits.keepalive_time_seconds()),
                          ", answered within ",
                          Time(limits.keepalive_timeout_seconds())));
  report.Print();
}

ExitCode Run(const GlobalOptions& globals) {
  return WithClient(globals, [&](Client& client) {
    const absl::StatusOr<v1::GetServerInfoResponse> info =
        client.GetServerInfo();
    if (!info.ok()) return FailCall(info.status());
    if (globals.json) {
      PrintJson(ToJson(*info));
      return ExitCode::kDone;
    }
    PrintServer(*info, globals.server);
    PrintCallLimits(*info);
    // An older server does not tell the rest.
    if (info->has_connection_limits()) {
      PrintLoadLimits(*info);
      PrintConnectionLimits(info->connection_limits());
    }
    return ExitCode::kDone;
  });
}

}  // namespace

void AddInfo(Commands& commands) {
  commands.Add("info", "Show a server's version, build and limits",
               "  halfstep info --server localhost:50051\n"
               "  halfstep info --json | jq .max_message_bytes",
               Run);
}

}  // namespace halfstep::cli

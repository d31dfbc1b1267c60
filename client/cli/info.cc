// halfstep info: what a server is and how much it takes.
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "client/cli/command.h"
#include "client/cli/connection.h"
#include "client/cli/report.h"
#include "client/message_json.h"

namespace halfstep::cli {
namespace {

void PrintForPeople(const v1::GetServerInfoResponse& info,
                    const std::string& server) {
  Report report;
  report.Add("server", server.empty() ? "inside this process" : server);
  report.Add("version", info.version());
  report.Add("instruction set", info.simd_target());
  report.Add("threads", absl::StrCat(info.worker_threads()));
  report.Add("numerics", absl::StrCat("version ", info.numerics_version()));
  report.Add("largest message",
             absl::StrCat(info.max_message_bytes(), " bytes"));
  report.Add("held for a stream",
             absl::StrCat(info.max_buffered_bytes(), " bytes"));
  report.Add("held for all calls",
             absl::StrCat(info.max_bytes_in_flight(), " bytes"));
  report.Add("scales per tensor", absl::StrCat(info.max_parameter_pairs()));
  report.Add("elements as values", absl::StrCat(info.max_values()));
  report.Add("calibration indices",
             absl::StrCat(info.max_calibration_summaries()));
  report.Print();
}

ExitCode Run(const GlobalOptions& globals) {
  return WithClient(globals, [&](Client& client) {
    const absl::StatusOr<v1::GetServerInfoResponse> info =
        client.GetServerInfo();
    if (!info.ok()) return FailCall(info.status());
    if (globals.json) {
      PrintJson(ToJson(*info));
    } else {
      PrintForPeople(*info, globals.server);
    }
    return ExitCode::kDone;
  });
}

}  // namespace

void AddInfo(Commands& commands) {
  commands.Add("info", "Show a server's version and limits",
               "  halfstep info --server localhost:50051", Run);
}

}  // namespace halfstep::cli

#include "server/flags.h"

#include <CLI/CLI.hpp>
#include <iostream>
#include <string>

#include "core/simd.h"
#include "server/version.h"

namespace halfstep {
namespace {

// Loopback: whoever serves other machines says so.
constexpr char kDefaultListen[] = "127.0.0.1:50051";

constexpr char kDescription[] =
    "Halfstep quantizes tensors over gRPC: halfstep.v1.QuantizationService.\n"
    "Prints `listening on ADDRESS` for each address once it serves; SIGTERM "
    "and "
    "SIGINT let calls in flight finish.";

constexpr char kExamples[] =
    "Every flag but --help and --version can be set by its variable instead; a "
    "flag "
    "wins.\nSizes take suffixes: 64MiB, 1GB.\n\n"
    "Examples:\n"
    "  halfstep-server\n"
    "  halfstep-server --listen=0.0.0.0:50051 --threads=8\n"
    "  halfstep-server --listen=127.0.0.1:0 --listen=unix:/run/halfstep.sock\n"
    "  HALFSTEP_MAX_MESSAGE_BYTES=64MiB halfstep-server --log-level=warn\n\n"
    "Exit codes: 0 told to stop; 1 could not start; 2 a flag is wrong.";

// What is parsed here and does not go into ServerOptions as it is.
struct Extras {
  double drain_seconds = 0;
  std::string simd_target;
  bool lists_simd_targets = false;
};

void AddLimits(CLI::App& app, ServerOptions& options) {
  CLI::Validator size = CLI::AsSizeValue(/*kb_is_1000=*/true);
  size.description("");
  app.add_option("--max-message-bytes", options.call.max_message_bytes,
                 "Largest payload of a request or reply")
      ->transform(size)
      ->envname("HALFSTEP_MAX_MESSAGE_BYTES")
      ->type_name("SIZE")
      ->default_str("256MiB");
  app.add_option("--max-buffered-bytes", options.call.max_buffered_bytes,
                 "Bytes that one stream may hold back")
      ->transform(size)
      ->envname("HALFSTEP_MAX_BUFFERED_BYTES")
      ->type_name("SIZE")
      ->default_str("256MiB");
  app.add_option("--max-parameter-pairs", options.call.max_parameter_pairs,
                 "Pairs of scale and zero point per tensor")
      ->envname("HALFSTEP_MAX_PARAMETER_PAIRS")
      ->type_name("COUNT")
      ->capture_default_str();
  app.add_option("--max-calibration-summaries",
                 options.call.max_calibration_summaries,
                 "Indices of a calibration axis")
      ->envname("HALFSTEP_MAX_CALIBRATION_SUMMARIES")
      ->type_name("COUNT")
      ->capture_default_str();
  app.add_option(
         "--max-bytes-in-flight", options.load.max_bytes_in_flight,
         "Bytes that all calls together may hold; default half of the memory")
      ->transform(size)
      ->envname("HALFSTEP_MAX_BYTES_IN_FLIGHT")
      ->type_name("SIZE");
  app.add_option("--max-waiting-calls", options.load.max_waiting_calls,
                 "Calls that may wait for their turn to be read")
      ->envname("HALFSTEP_MAX_WAITING_CALLS")
      ->type_name("COUNT")
      ->capture_default_str();
  app.add_option("--max-queued-calls", options.load.max_queued_calls,
                 "Calls that may be read and wait for a thread")
      ->envname("HALFSTEP_MAX_QUEUED_CALLS")
      ->type_name("COUNT")
      ->capture_default_str();
}

void AddFlags(CLI::App& app, ServerOptions& options, Extras& extras) {
  app.add_option("--listen", options.listen,
                 "HOST:PORT (port 0 picks one) or unix:PATH; repeatable")
      ->envname("HALFSTEP_LISTEN")
      ->delimiter(',')
      ->take_all()
      ->type_name("ADDRESS")
      ->default_str(kDefaultListen);
  app.add_option("--threads", options.threads,
                 "Threads that compute; 0 means one per processor")
      ->envname("HALFSTEP_THREADS")
      ->type_name("COUNT")
      ->capture_default_str();
  AddLimits(app, options);
  app.add_option("--drain-timeout", extras.drain_seconds,
                 "Seconds that calls in flight may take once told to stop")
      ->envname("HALFSTEP_DRAIN_TIMEOUT")
      ->check(CLI::Range(0.0, 86400.0).description(""))
      ->type_name("SECONDS")
      ->capture_default_str();
  app.add_option("--log-level", options.log_level,
                 "off, error, warn, info (one line per call) or debug")
      ->envname("HALFSTEP_LOG_LEVEL")
      ->type_name("LEVEL")
      ->capture_default_str();
  app.add_option("--simd-target", extras.simd_target)
      ->envname("HALFSTEP_SIMD_TARGET")
      ->group("");  // for tests: not in --help
  app.add_flag("--list-simd-targets", extras.lists_simd_targets)->group("");
  app.set_version_flag("--version", std::string(kVersion));
}

int Fail(const absl::Status& status) {
  std::cerr << "halfstep-server: " << status.message() << "\n";
  return kExitUsage;
}

}  // namespace

std::optional<int> ParseFlags(int argc, const char* const* argv,
                              ServerOptions& options) {
  CLI::App app(kDescription, "halfstep-server");
  app.footer(kExamples);
  Extras extras = {
      .drain_seconds = absl::ToDoubleSeconds(options.drain_timeout),
      .simd_target = "",
      .lists_simd_targets = false};
  AddFlags(app, options, extras);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help, --version
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    std::cerr << "halfstep-server: " << error.what() << "; see --help\n";
    return kExitUsage;
  }
  options.drain_timeout = absl::Seconds(extras.drain_seconds);
  if (options.listen.empty()) options.listen = {kDefaultListen};
  if (extras.lists_simd_targets) {
    for (const std::string& target : SimdTargets()) std::cout << target << "\n";
    return kExitOk;
  }
  if (!extras.simd_target.empty()) {
    const absl::Status pinned = PinSimdTarget(extras.simd_target);
    if (!pinned.ok()) return Fail(pinned);
  }
  const absl::StatusOr<ServerOptions> resolved = Resolve(options);
  if (!resolved.ok()) return Fail(resolved.status());
  options = *resolved;
  return std::nullopt;
}

}  // namespace halfstep

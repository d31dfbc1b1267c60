#include "server/settings/settings.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace halfstep {
namespace {

using Kind = SettingKind;

// The field at the end of a path of members, each of the one before.
template <auto... path>
SettingField At(ServerOptions& options) {
  return &(options.*....*path);
}

constexpr char kServing[] = "Serving";
constexpr char kSecurity[] = "Security";
constexpr char kCallLimits[] = "Limits of one call";
constexpr char kLoadLimits[] = "Limits of all calls together";
constexpr char kConnections[] = "Limits of connections";
constexpr char kLogging[] = "Logging";

void AddServing(std::vector<Setting>& settings) {
  settings.push_back(
      {.key = "listen",
       .group = kServing,
       .kind = Kind::kList,
       .description = "HOST:PORT (port 0 picks one) or unix:PATH; repeatable",
       .field = At<&ServerOptions::listen>,
       .placeholder = "ADDRESS"});
  settings.push_back(
      {.key = "admin_listen",
       .group = kServing,
       .kind = Kind::kText,
       .description = "Where /metrics, /livez and /readyz are: HOST:PORT or "
                      "unix:PATH; off; auto: 127.0.0.1:50052 if it is free",
       .field = At<&ServerOptions::admin_listen>,
       .placeholder = "ADDRESS"});
  settings.push_back({.key = "unix_socket_mode",
                      .group = kServing,
                      .kind = Kind::kMode,
                      .description = "Permissions of a unix socket",
                      .field = At<&ServerOptions::connection,
                                  &ConnectionLimits::unix_socket_mode>});
  settings.push_back(
      {.key = "threads",
       .group = kServing,
       .kind = Kind::kCount,
       .description = "Threads that compute; 0 means one per processor",
       .field = At<&ServerOptions::threads>});
  settings.push_back({.key = "io_threads",
                      .group = kServing,
                      .kind = Kind::kCount,
                      .description =
                          "Threads that read and write, and compute what is "
                          "short; 0 means one for two that compute",
                      .field = At<&ServerOptions::io_threads>});
  settings.push_back({.key = "drain_delay",
                      .group = kServing,
                      .kind = Kind::kSeconds,
                      .description = "Seconds between turning NOT_SERVING and "
                                     "taking no more calls once told to stop",
                      .field = At<&ServerOptions::drain_delay>,
                      .reloads = true});
  settings.push_back(
      {.key = "watchdog_interval",
       .group = kServing,
       .kind = Kind::kSeconds,
       .description = "Seconds between two looks whether the own addresses can "
                      "be reached; inf means never",
       .field = At<&ServerOptions::watchdog_interval>});
  settings.push_back(
      {.key = "drain_timeout",
       .group = kServing,
       .kind = Kind::kSeconds,
       .description = "Seconds that calls in flight may take once told to stop",
       .field = At<&ServerOptions::drain_timeout>,
       .reloads = true});
}

void AddSecurity(std::vector<Setting>& settings) {
  settings.push_back(
      {.key = "tls_cert",
       .group = kSecurity,
       .kind = Kind::kPath,
       .description = "Certificate of the server and those that lead to its "
                      "root, in PEM; read again when it changes",
       .field = At<&ServerOptions::security, &SecurityOptions::tls_cert>});
  settings.push_back(
      {.key = "tls_key",
       .group = kSecurity,
       .kind = Kind::kPath,
       .description =
           "Private key of the certificate, in PEM, that nobody else may read",
       .field = At<&ServerOptions::security, &SecurityOptions::tls_key>});
  settings.push_back(
      {.key = "tls_client_ca",
       .group = kSecurity,
       .kind = Kind::kPath,
       .description = "Whose certificates clients must have, in "
                      "PEM; empty means that they need none",
       .field = At<&ServerOptions::security, &SecurityOptions::tls_client_ca>});
  settings.push_back(
      {.key = "token_file",
       .group = kSecurity,
       .kind = Kind::kPath,
       .description = "Bearer tokens and the methods that each "
                      "permits: lines NAME METHODS TOKEN",
       .field = At<&ServerOptions::security, &SecurityOptions::token_file>});
  settings.push_back(
      {.key = "allow_plaintext",
       .group = kSecurity,
       .kind = Kind::kSwitch,
       .description = "Serve other machines without TLS, as behind a proxy",
       .field =
           At<&ServerOptions::security, &SecurityOptions::allow_plaintext>});
  settings.push_back(
      {.key = "reflection",
       .group = kSecurity,
       .kind = Kind::kText,
       .description = "Whether to tell what is served; auto means yes, unless "
                      "with tokens or --production",
       .field = At<&ServerOptions::security, &SecurityOptions::reflection>,
       .choices = {"auto", "on", "off"},
       .placeholder = "CHOICE"});
  settings.push_back(
      {.key = "production",
       .group = kSecurity,
       .kind = Kind::kSwitch,
       .description = "Refuse what is for trying out: reflection, and "
                      "plaintext or unknown callers from other machines",
       .field = At<&ServerOptions::security, &SecurityOptions::production>});
  settings.push_back(
      {.key = "reload_interval",
       .group = kSecurity,
       .kind = Kind::kSeconds,
       .description = "Seconds between two looks at certificates and tokens; "
                      "inf means on SIGHUP only",
       .field =
           At<&ServerOptions::security, &SecurityOptions::reload_interval>});
}

void AddCallLimits(std::vector<Setting>& settings) {
  settings.push_back(
      {.key = "max_message_bytes",
       .group = kCallLimits,
       .kind = Kind::kSize,
       .description = "Largest payload of a request or reply",
       .field = At<&ServerOptions::call, &CallLimits::max_message_bytes>});
  settings.push_back(
      {.key = "max_buffered_bytes",
       .group = kCallLimits,
       .kind = Kind::kSize,
       .description = "Bytes that one stream may hold back until scales are "
                      "known, and the histograms of one Observe call",
       .field = At<&ServerOptions::call, &CallLimits::max_buffered_bytes>});
  settings.push_back(
      {.key = "max_parameter_pairs",
       .group = kCallLimits,
       .kind = Kind::kCount,
       .description = "Pairs of scale and zero point of a tensor; of a stream, "
                      "those held at once",
       .field = At<&ServerOptions::call, &CallLimits::max_parameter_pairs>});
  settings.push_back(
      {.key = "max_values",
       .group = kCallLimits,
       .kind = Kind::kCount,
       .description = "Elements given as numbers instead of bytes",
       .field = At<&ServerOptions::call, &CallLimits::max_values>});
  settings.push_back(
      {.key = "max_calibration_summaries",
       .group = kCallLimits,
       .kind = Kind::kCount,
       .description = "Indices of a calibration axis",
       .field =
           At<&ServerOptions::call, &CallLimits::max_calibration_summaries>});
}

void AddLoadLimits(std::vector<Setting>& settings) {
  settings.push_back(
      {.key = "max_bytes_in_flight",
       .group = kLoadLimits,
       .kind = Kind::kSize,
       .description = "Bytes that all calls together may hold; 0 means half of "
                      "the memory of the machine or container",
       .field = At<&ServerOptions::load, &LoadLimits::max_bytes_in_flight>});
  settings.push_back(
      {.key = "max_waiting_calls",
       .group = kLoadLimits,
       .kind = Kind::kCount,
       .description = "Calls that may wait for their turn to be read",
       .field = At<&ServerOptions::load, &LoadLimits::max_waiting_calls>});
  settings.push_back(
      {.key = "max_queued_calls",
       .group = kLoadLimits,
       .kind = Kind::kCount,
       .description = "Calls that may be read and wait for a thread",
       .field = At<&ServerOptions::load, &LoadLimits::max_queued_calls>});
  settings.push_back(
      {.key = "stall_timeout",
       .group = kLoadLimits,
       .kind = Kind::kSeconds,
       .description =
           "Seconds that a client may take to send a message that its "
           "call waits for, or to take one",
       .field = At<&ServerOptions::load, &LoadLimits::stall_timeout>});
}

void AddConnectionLimits(std::vector<Setting>& settings) {
  settings.push_back(
      {.key = "max_connections",
       .group = kConnections,
       .kind = Kind::kCount,
       .description = "Connections at the same time; 0 means as "
                      "many as descriptors allow, 4096 at most",
       .field =
           At<&ServerOptions::connection, &ConnectionLimits::max_connections>});
  settings.push_back(
      {.key = "max_connections_per_host",
       .group = kConnections,
       .kind = Kind::kCount,
       .description = "Of them from one host; 0 means three quarters",
       .field = At<&ServerOptions::connection,
                   &ConnectionLimits::max_connections_per_host>});
  settings.push_back(
      {.key = "max_streams_per_connection",
       .group = kConnections,
       .kind = Kind::kCount,
       .description = "Calls at the same time on one connection",
       .field = At<&ServerOptions::connection,
                   &ConnectionLimits::max_streams_per_connection>});
  settings.push_back(
      {.key = "max_metadata_bytes",
       .group = kConnections,
       .kind = Kind::kSize,
       .description =
           "Bytes of a call's metadata: names, values and 32 for each pair",
       .field = At<&ServerOptions::connection,
                   &ConnectionLimits::max_metadata_bytes>});
  settings.push_back({.key = "handshake_timeout",
                      .group = kConnections,
                      .kind = Kind::kSeconds,
                      .description = "Seconds until a new connection must have "
                                     "sent its HTTP/2 settings, TLS included",
                      .field = At<&ServerOptions::connection,
                                  &ConnectionLimits::handshake_timeout>});
  settings.push_back(
      {.key = "max_connection_idle",
       .group = kConnections,
       .kind = Kind::kSeconds,
       .description =
           "Seconds without a call after which a connection is closed",
       .field = At<&ServerOptions::connection,
                   &ConnectionLimits::max_connection_idle>});
  settings.push_back(
      {.key = "max_connection_age",
       .group = kConnections,
       .kind = Kind::kSeconds,
       .description =
           "Seconds after which a connection is closed, give or take a tenth",
       .field = At<&ServerOptions::connection,
                   &ConnectionLimits::max_connection_age>});
  settings.push_back(
      {.key = "max_connection_age_grace",
       .group = kConnections,
       .kind = Kind::kSeconds,
       .description = "Seconds that its calls then have to finish",
       .field = At<&ServerOptions::connection,
                   &ConnectionLimits::max_connection_age_grace>});
  settings.push_back(
      {.key = "keepalive_time",
       .group = kConnections,
       .kind = Kind::kSeconds,
       .description = "Seconds of silence after which a client "
                      "is asked whether it is there",
       .field =
           At<&ServerOptions::connection, &ConnectionLimits::keepalive_time>});
  settings.push_back({.key = "keepalive_timeout",
                      .group = kConnections,
                      .kind = Kind::kSeconds,
                      .description = "Seconds that it may take to answer",
                      .field = At<&ServerOptions::connection,
                                  &ConnectionLimits::keepalive_timeout>});
}

void AddLogging(std::vector<Setting>& settings) {
  settings.push_back(
      {.key = "log_level",
       .group = kLogging,
       .kind = Kind::kText,
       .description = "What is logged: info has one line per call",
       .field = At<&ServerOptions::log_level>,
       .reloads = true,
       .choices = {"off", "error", "warn", "info", "debug"},
       .placeholder = "LEVEL"});
  settings.push_back({.key = "log_format",
                      .group = kLogging,
                      .kind = Kind::kText,
                      .description =
                          "How a line is written: text for people, json for "
                          "programs; auto: json with --production",
                      .field = At<&ServerOptions::log_format>,
                      .choices = {"auto", "text", "json"},
                      .placeholder = "FORMAT"});
}

}  // namespace

ServerOptions DefaultOptions() {
  ServerOptions options;
  // Loopback: whoever serves other machines says so.
  options.listen = {"127.0.0.1:50051"};
  options.admin_listen = "auto";
  return options;
}

const std::vector<Setting>& Settings() {
  static const std::vector<Setting>* const kSettings = [] {
    auto* settings = new std::vector<Setting>;
    AddServing(*settings);
    AddSecurity(*settings);
    AddCallLimits(*settings);
    AddLoadLimits(*settings);
    AddConnectionLimits(*settings);
    AddLogging(*settings);
    return settings;
  }();
  return *kSettings;
}

const Setting* FindSetting(absl::string_view key) {
  const auto found = std::find_if(
      Settings().begin(), Settings().end(),
      [key](const Setting& setting) { return setting.key == key; });
  return found == Settings().end() ? nullptr : &*found;
}

std::string FlagOf(const Setting& setting) {
  return absl::StrCat("--", absl::StrReplaceAll(setting.key, {{"_", "-"}}));
}

std::string VariableOf(const Setting& setting) {
  return absl::StrCat("HALFSTEP_", absl::AsciiStrToUpper(setting.key));
}

std::string PlaceholderOf(const Setting& setting) {
  if (!setting.placeholder.empty()) return setting.placeholder;
  switch (setting.kind) {
    case Kind::kSize:
      return "SIZE";
    case Kind::kCount:
      return "COUNT";
    case Kind::kSeconds:
      return "SECONDS";
    case Kind::kMode:
      return "MODE";
    case Kind::kPath:
      return "FILE";
    case Kind::kText:
    case Kind::kList:
      return "TEXT";
    case Kind::kSwitch:
      return "";
  }
  return "";
}

}  // namespace halfstep

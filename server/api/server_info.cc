#include "server/api/server_info.h"

#include <google/protobuf/stubs/common.h>
#include <grpcpp/grpcpp.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "core/simd.h"
#include "core/spec.h"
#include "core/tensor.h"
#include "server/version.h"

namespace halfstep {
namespace {

std::string Compiler() {
#ifdef __clang__
  return absl::StrCat("Clang ", __clang_version__);
#else
  return absl::StrCat("GCC ", __VERSION__);
#endif
}

void SetConnectionLimits(const ConnectionLimits& limits,
                         v1::GetServerInfoResponse::ConnectionLimits& info) {
  info.set_max_connections(limits.max_connections);
  info.set_max_connections_per_host(limits.max_connections_per_host);
  info.set_max_streams_per_connection(limits.max_streams_per_connection);
  info.set_max_metadata_bytes(limits.max_metadata_bytes);
  info.set_handshake_timeout_seconds(
      absl::ToDoubleSeconds(limits.handshake_timeout));
  info.set_max_connection_idle_seconds(
      absl::ToDoubleSeconds(limits.max_connection_idle));
  info.set_max_connection_age_seconds(
      absl::ToDoubleSeconds(limits.max_connection_age));
  info.set_max_connection_age_grace_seconds(
      absl::ToDoubleSeconds(limits.max_connection_age_grace));
  info.set_keepalive_time_seconds(absl::ToDoubleSeconds(limits.keepalive_time));
  info.set_keepalive_timeout_seconds(
      absl::ToDoubleSeconds(limits.keepalive_timeout));
}

void SetBuild(v1::GetServerInfoResponse::Build& build) {
  build.set_compiler(Compiler());
  build.set_grpc_version(grpc::Version());
  build.set_protobuf_version(
      google::protobuf::internal::VersionString(GOOGLE_PROTOBUF_VERSION));
  for (const std::string& target : SimdTargets())
    build.add_simd_targets(target);
}

}  // namespace

v1::GetServerInfoResponse ServerInfo(const ServerOptions& options) {
  v1::GetServerInfoResponse info;
  info.set_version(std::string(kVersion));
  info.set_simd_target(SimdTarget());
  info.set_worker_threads(static_cast<uint32_t>(options.threads));
  info.set_numerics_version(kNumericsVersion);
  info.set_max_message_bytes(options.call.max_message_bytes);
  info.set_max_buffered_bytes(options.call.max_buffered_bytes);
  info.set_max_bytes_in_flight(options.load.max_bytes_in_flight);
  info.set_max_parameter_pairs(options.call.max_parameter_pairs);
  info.set_max_values(options.call.max_values);
  info.set_max_calibration_summaries(options.call.max_calibration_summaries);
  info.set_max_dimensions(kRankMax);
  info.set_max_waiting_calls(options.load.max_waiting_calls);
  info.set_max_queued_calls(options.load.max_queued_calls);
  info.set_stall_timeout_seconds(
      absl::ToDoubleSeconds(options.load.stall_timeout));
  SetConnectionLimits(options.connection, *info.mutable_connection_limits());
  SetBuild(*info.mutable_build());
  return info;
}

}  // namespace halfstep

// What the server counts, as Prometheus reads it. docs/metrics.md has every
// name.
//
// All time series are made when the server starts: which there are depends on
// what it serves, never on what clients send. A method that nobody serves is
// not counted anywhere.
#ifndef HALFSTEP_SERVER_TELEMETRY_METRICS_H_
#define HALFSTEP_SERVER_TELEMETRY_METRICS_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/telemetry/call_record.h"
#include "server/telemetry/calls_in_flight.h"
#include "server/telemetry/process_usage.h"
#include "server/telemetry/striped.h"

namespace prometheus {
class Counter;
class Histogram;
}  // namespace prometheus

namespace halfstep {

// What others keep, at one moment.
struct ServerReadings {
  bool is_serving = false;
  uint64_t bytes_in_flight = 0;
  uint64_t bytes_in_flight_max = 0;
  std::array<size_t, kCallPhaseCount> calls_in_flight = {};  // by CallPhase
  size_t waiting_calls_max = 0;
  size_t queued_calls_max = 0;
  size_t connections = 0;
  size_t connections_max = 0;
  uint64_t connections_refused = 0;  // so far, as the next two
  uint64_t connections_ended = 0;
  uint64_t log_lines_dropped = 0;
  std::optional<absl::Time> certificate_expiry;  // nothing without TLS
  ProcessUsage process;
};

// The buckets of all histograms, in nanoseconds: Prometheus' default ones, and
// below them what a call on a small tensor takes, some tens of microseconds.
inline constexpr std::array<int64_t, 16> kTimeBounds = {
    100'000,       250'000,       500'000,       1'000'000,
    2'500'000,     5'000'000,     10'000'000,    25'000'000,
    50'000'000,    100'000'000,   250'000'000,   500'000'000,
    1'000'000'000, 2'500'000'000, 5'000'000'000, 10'000'000'000};

// The counts of one method. Thread-safe.
//
// Calls add to counts of ours, which go to Prometheus' when somebody asks: of
// those each is one atomic number for all threads, and a call adds to 15.
class MethodMetrics {
 public:
  void CountStarted();
  void CountReceived(uint64_t bytes);  // one message
  void CountSent(uint64_t bytes);
  // The call is over.
  void CountHandled(const CallRecord& record);

 private:
  friend class Metrics;
  MethodMetrics() = default;

  static constexpr size_t kCodes = 17;  // of gRPC, OK to UNAUTHENTICATED

  // What of a call is counted, and timed.
  template <typename Number, typename Times>
  struct Of {
    Number started = {};
    Number messages_received = {};
    Number messages_sent = {};
    Number bytes_received = {};
    Number bytes_sent = {};
    std::array<Number, kCodes> handled = {};
    Times handling = {};
    Times queue = {};
    Times compute = {};
    Times wire = {};
  };

  // Adds what was counted to series_.
  void Publish();

  Striped<Of<Count, TimeCounts<kTimeBounds>>> counts_;
  Of<prometheus::Counter*, prometheus::Histogram*> series_;
};

// Thread-safe.
class Metrics {
 public:
  struct Build {
    absl::string_view version;
    absl::string_view simd_target;
    absl::string_view grpc_version;
  };

  explicit Metrics(const Build& build);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // The counts of a method, which live as long as this object.
  // `service` "halfstep.v1.QuantizationService"; `method` "Quantize"; both
  // ours, never a client's.
  MethodMetrics& ForMethod(absl::string_view service, absl::string_view method);

  // A call, or one message of it, did `work`.
  void CountWork(const CallWork& work);

  // A call ended with `status`, which is not OK.
  void CountFailed(const absl::Status& status);

  // Everything, in Prometheus' text format 0.0.4.
  std::string Text(const ServerReadings& readings);

 private:
  class Families;
  const std::unique_ptr<Families> families_;
};

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_TELEMETRY_METRICS_H_

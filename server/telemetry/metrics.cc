#include "server/telemetry/metrics.h"

#include <google/protobuf/descriptor.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "server/wire/grpc_status.h"

namespace halfstep {
namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;
using prometheus::Labels;

// As go-grpc-prometheus writes gRPC's codes; in the order of their numbers.
constexpr std::array<const char*, 17> kCodeNames = {"OK",
                                                    "Canceled",
                                                    "Unknown",
                                                    "InvalidArgument",
                                                    "DeadlineExceeded",
                                                    "NotFound",
                                                    "AlreadyExists",
                                                    "PermissionDenied",
                                                    "ResourceExhausted",
                                                    "FailedPrecondition",
                                                    "Aborted",
                                                    "OutOfRange",
                                                    "Unimplemented",
                                                    "Internal",
                                                    "Unavailable",
                                                    "DataLoss",
                                                    "Unauthenticated"};
constexpr size_t kUnknownCode = 2;

using Times = TimeCounts<kTimeBounds>;

constexpr double kSecondNanoseconds = 1e9;

std::vector<double> Buckets() {
  std::vector<double> seconds;
  seconds.reserve(kTimeBounds.size());
  for (const int64_t bound : kTimeBounds) {
    seconds.push_back(static_cast<double>(bound) / kSecondNanoseconds);
  }
  return seconds;
}

void Advance(Counter& counter, Count& count) {
  if (const uint64_t more = count.Take(); more > 0) {
    counter.Increment(static_cast<double>(more));
  }
}

void Advance(Histogram& histogram, Times& times) {
  std::vector<double> buckets;
  for (size_t i = 0; i < Times::kBuckets; ++i) {
    buckets.push_back(static_cast<double>(times.TakeBucket(i)));
  }
  histogram.ObserveMultiple(
      buckets,
      static_cast<double>(times.TakeNanoseconds()) / kSecondNanoseconds);
}

// In the order of their index in Families::work_.
constexpr std::array<const char*, 3> kSchemes = {"symmetric", "asymmetric",
                                                 "none"};

// In the order of CallPhase.
constexpr std::array<const char*, kCallPhaseCount> kPhases = {
    "admission", "reading", "queue", "compute", "writing"};

const char* NameOf(CallPhase phase) {
  return kPhases[static_cast<size_t>(phase)];
}

// Why a call found no room: the flag that says how much there is, or what else
// it was.
constexpr std::array<const char*, 7> kReasons = {"max_waiting_calls",
                                                 "max_queued_calls",
                                                 "max_bytes_in_flight",
                                                 "max_streams_per_connection",
                                                 "memory",
                                                 "limit_exceeded",
                                                 "shutting_down"};

// How a service's methods are called in a dashboard: unary, client_stream,
// server_stream or bidi_stream.
std::string TypeOf(absl::string_view service, absl::string_view method) {
  const google::protobuf::MethodDescriptor* const described =
      google::protobuf::DescriptorPool::generated_pool()->FindMethodByName(
          absl::StrCat(service, ".", method));
  if (described == nullptr) return "unary";
  const bool from_client = described->client_streaming();
  const bool from_server = described->server_streaming();
  if (from_client && from_server) return "bidi_stream";
  if (from_client) return "client_stream";
  return from_server ? "server_stream" : "unary";
}

// Increments a counter to what others have counted so far.
void Advance(Counter& counter, double total) {
  counter.Increment(std::max(0.0, total - counter.Value()));
}

}  // namespace

class Metrics::Families {
 public:
  explicit Families(const Build& build) {
    for (size_t i = 0; i < kSchemes.size(); ++i) {
      const Labels labels = {{"scheme", kSchemes[i]}};
      work_series_[i] = {&elements_.Add(labels), &saturated_.Add(labels),
                         &non_finite_.Add(labels)};
    }
    for (size_t i = 0; i < kReasons.size(); ++i) {
      refused_[i] = &refusals_.Add({{"reason", kReasons[i]}});
    }
    for (size_t i = 0; i < kCallPhaseCount; ++i) {
      calls_[i] = &calls_in_flight_.Add({{"phase", kPhases[i]}});
    }
    AddGauge("halfstep_build_info", "1, with what runs in its labels.",
             {{"version", std::string(build.version)},
              {"simd_target", std::string(build.simd_target)},
              {"grpc_version", std::string(build.grpc_version)}})
        .Set(1);
  }

  MethodMetrics& Add(absl::string_view service, absl::string_view method) {
    Labels labels = {{"grpc_service", std::string(service)},
                     {"grpc_method", std::string(method)}};
    Labels typed = labels;
    typed["grpc_type"] = TypeOf(service, method);
    std::unique_ptr<MethodMetrics> metrics(new MethodMetrics());
    auto& series = metrics->series_;
    series.started = &started_.Add(typed);
    series.messages_received = &messages_received_.Add(typed);
    series.messages_sent = &messages_sent_.Add(typed);
    series.handling = &handling_.Add(typed, Buckets());
    for (size_t code = 0; code < kCodeNames.size(); ++code) {
      typed["grpc_code"] = kCodeNames[code];
      series.handled[code] = &handled_.Add(typed);
    }
    series.bytes_received = &bytes_received_.Add(labels);
    series.bytes_sent = &bytes_sent_.Add(labels);
    series.queue = &queue_.Add(labels, Buckets());
    series.compute = &compute_.Add(labels, Buckets());
    series.wire = &wire_.Add(labels, Buckets());
    const absl::MutexLock lock(&mutex_);
    methods_.push_back(std::move(metrics));
    return *methods_.back();
  }

  void CountWork(const CallWork& work) {
    const auto* const found =
        std::find(kSchemes.begin(), kSchemes.end() - 1, work.scheme);
    Work<Count>& counts =
        work_.mine()[static_cast<size_t>(found - kSchemes.begin())];
    counts.elements.Add(work.elements);
    if (work.saturated > 0) counts.saturated.Add(work.saturated);
    if (work.non_finite > 0) counts.non_finite.Add(work.non_finite);
  }

  void CountFailed(const absl::Status& status) {
    const absl::string_view kind = ErrorReason(status);
    if (kind == "STALLED") return stalled_.Increment();
    std::string reason;
    if (kind == "SERVER_BUSY") reason = BusyLimit(status);
    if (kind == "LIMIT_EXCEEDED") reason = "limit_exceeded";
    if (kind == "SHUTTING_DOWN") reason = "shutting_down";
    const auto* const found =
        std::find(kReasons.begin(), kReasons.end(), reason);
    if (found != kReasons.end())
      refused_[static_cast<size_t>(found - kReasons.begin())]->Increment();
  }

  std::string Text(const ServerReadings& readings) {
    const absl::MutexLock lock(&mutex_);
    for (const auto& method : methods_) method->Publish();
    PublishWork();
    Take(readings);
    return prometheus::TextSerializer().Serialize(registry_.Collect());
  }

 private:
  template <typename Number>
  struct Work {
    Number elements = {};
    Number saturated = {};
    Number non_finite = {};
  };
  // By the index of kSchemes.
  template <typename Number>
  using WorkByScheme = std::array<Work<Number>, kSchemes.size()>;

  void PublishWork() {
    work_.ForEach([this](WorkByScheme<Count>& counts) {
      for (size_t i = 0; i < counts.size(); ++i) {
        Advance(*work_series_[i].elements, counts[i].elements);
        Advance(*work_series_[i].saturated, counts[i].saturated);
        Advance(*work_series_[i].non_finite, counts[i].non_finite);
      }
    });
  }

  Family<Counter>& Counters(const char* name, const char* help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry_);
  }
  Family<Gauge>& Gauges(const char* name, const char* help) {
    return prometheus::BuildGauge().Name(name).Help(help).Register(registry_);
  }
  Family<Histogram>& Histograms(const char* name, const char* help) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(
        registry_);
  }
  Counter& AddCounter(const char* name, const char* help) {
    return Counters(name, help).Add({});
  }
  Gauge& AddGauge(const char* name, const char* help,
                  const Labels& labels = {}) {
    return Gauges(name, help).Add(labels);
  }

  void Take(const ServerReadings& readings)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const auto set = [](Gauge& gauge, auto value) {
      gauge.Set(static_cast<double>(value));
    };
    const auto advance = [](Counter& counter, auto total) {
      Advance(counter, static_cast<double>(total));
    };
    set(serving_, readings.is_serving ? 1 : 0);
    set(bytes_in_flight_, readings.bytes_in_flight);
    set(bytes_in_flight_limit_, readings.bytes_in_flight_max);
    for (size_t i = 0; i < kCallPhaseCount; ++i) {
      set(*calls_[i], readings.calls_in_flight[i]);
    }
    set(waiting_limit_, readings.waiting_calls_max);
    set(queued_limit_, readings.queued_calls_max);
    set(connections_, readings.connections);
    set(connections_limit_, readings.connections_max);
    advance(connections_refused_, readings.connections_refused);
    advance(connections_ended_, readings.connections_ended);
    advance(log_lines_dropped_, readings.log_lines_dropped);
    if (readings.certificate_expiry.has_value()) {
      set(certificate_expiry_.Add({}),
          absl::ToUnixSeconds(*readings.certificate_expiry));
    }
    const ProcessUsage& process = readings.process;
    advance(process_cpu_, process.cpu_seconds);
    set(process_start_, process.start_time_seconds);
    set(process_resident_, process.resident_memory_bytes);
    set(process_virtual_, process.virtual_memory_bytes);
    set(process_open_fds_, process.open_fds);
    set(process_max_fds_, process.max_fds);
  }

  prometheus::Registry registry_;
  absl::Mutex mutex_;  // one Text at a time, and the list of methods
  std::vector<std::unique_ptr<MethodMetrics>> methods_ ABSL_GUARDED_BY(mutex_);

  // By method, under the names of go-grpc-prometheus.
  Family<Counter>& started_ = Counters(
      "grpc_server_started_total", "Calls that began, refused ones included.");
  Family<Counter>& handled_ =
      Counters("grpc_server_handled_total", "Calls that ended, by what with.");
  Family<Histogram>& handling_ =
      Histograms("grpc_server_handling_seconds",
                 "From a call's arrival until its client had the answer.");
  Family<Counter>& messages_received_ =
      Counters("grpc_server_msg_received_total", "Messages that were read.");
  Family<Counter>& messages_sent_ =
      Counters("grpc_server_msg_sent_total", "Messages that were sent.");

  // By method, of ours.
  Family<Counter>& bytes_received_ =
      Counters("halfstep_received_bytes_total", "Bytes of messages received.");
  Family<Counter>& bytes_sent_ =
      Counters("halfstep_sent_bytes_total", "Bytes of messages sent.");
  Family<Histogram>& queue_ =
      Histograms("halfstep_queue_seconds",
                 "What calls waited for admission and for a thread.");
  Family<Histogram>& compute_ = Histograms(
      "halfstep_compute_seconds", "What calls took on the server's threads.");
  Family<Histogram>& wire_ = Histograms(
      "halfstep_wire_seconds",
      "What calls took beside: reading, writing, waiting for the client.");

  // By what calls asked for, or did not get.
  Family<Counter>& elements_ =
      Counters("halfstep_elements_total",
               "Elements that were quantized, dequantized, compared or seen.");
  Family<Counter>& saturated_ =
      Counters("halfstep_saturated_elements_total",
               "Elements whose code was past the ends of its range.");
  Family<Counter>& non_finite_ =
      Counters("halfstep_non_finite_elements_total",
               "Elements that were NaN or infinite.");
  Family<Counter>& refusals_ =
      Counters("halfstep_admissions_refused_total",
               "Calls for which there was no room, by the limit that said so.");
  Striped<WorkByScheme<Count>> work_;
  WorkByScheme<Counter*> work_series_ = {};
  std::array<Counter*, kReasons.size()> refused_ = {};
  Counter& stalled_ =
      AddCounter("halfstep_stalled_calls_total",
                 "Calls ended since a message took their client too long.");

  // What is there now.
  Gauge& serving_ =
      AddGauge("halfstep_serving",
               "1 while calls are taken; 0 at start and at the end.");
  Gauge& bytes_in_flight_ =
      AddGauge("halfstep_bytes_in_flight", "Bytes held for calls.");
  Gauge& bytes_in_flight_limit_ =
      AddGauge("halfstep_bytes_in_flight_limit", "Bytes that calls may hold.");
  Family<Gauge>& calls_in_flight_ =
      Gauges("halfstep_calls_in_flight", "Calls by what they wait for.");
  std::array<Gauge*, kCallPhaseCount> calls_ = {};
  Family<Gauge>& calls_limit_ =
      Gauges("halfstep_calls_in_flight_limit",
             "Calls that may wait for admission, or for a thread.");
  Gauge& waiting_limit_ =
      calls_limit_.Add({{"phase", NameOf(CallPhase::kAdmission)}});
  Gauge& queued_limit_ =
      calls_limit_.Add({{"phase", NameOf(CallPhase::kQueue)}});
  Gauge& connections_ = AddGauge("halfstep_connections", "Open connections.");
  Gauge& connections_limit_ =
      AddGauge("halfstep_connections_limit", "Connections that may be open.");
  Counter& connections_refused_ = AddCounter(
      "halfstep_connections_refused_total",
      "Connections closed at once, mostly since there were too many.");
  Counter& connections_ended_ =
      AddCounter("halfstep_connections_ended_total",
                 "Connections closed for what their client did.");
  Counter& log_lines_dropped_ =
      AddCounter("halfstep_log_lines_dropped_total",
                 "Lines of the log that nobody took in time.");
  // Without a series until there is a certificate.
  Family<Gauge>& certificate_expiry_ =
      Gauges("halfstep_certificate_expiry_timestamp_seconds",
             "When the certificate in use expires, in seconds since 1970.");

  Counter& process_cpu_ =
      AddCounter("process_cpu_seconds_total", "User and system time.");
  Gauge& process_start_ =
      AddGauge("process_start_time_seconds", "Start, in seconds since 1970.");
  Gauge& process_resident_ =
      AddGauge("process_resident_memory_bytes", "Resident memory.");
  Gauge& process_virtual_ =
      AddGauge("process_virtual_memory_bytes", "Virtual memory.");
  Gauge& process_open_fds_ =
      AddGauge("process_open_fds", "Open file descriptors.");
  Gauge& process_max_fds_ =
      AddGauge("process_max_fds", "File descriptors that may be open.");
};

void MethodMetrics::CountStarted() { counts_.mine().started.Add(1); }

void MethodMetrics::CountReceived(uint64_t bytes) {
  auto& counts = counts_.mine();
  counts.messages_received.Add(1);
  counts.bytes_received.Add(bytes);
}

void MethodMetrics::CountSent(uint64_t bytes) {
  auto& counts = counts_.mine();
  counts.messages_sent.Add(1);
  counts.bytes_sent.Add(bytes);
}

void MethodMetrics::CountHandled(const CallRecord& record) {
  auto& counts = counts_.mine();
  const auto code = static_cast<size_t>(record.status.code());
  counts.handled[code < kCodes ? code : kUnknownCode].Add(1);
  counts.handling.Add(record.total_time);
  counts.queue.Add(record.queue_time);
  counts.compute.Add(record.compute_time);
  counts.wire.Add(record.wire_time());
}

void MethodMetrics::Publish() {
  // Calls that ended before those that began, which are never fewer.
  counts_.ForEach([this](auto& counts) {
    for (size_t code = 0; code < kCodes; ++code) {
      Advance(*series_.handled[code], counts.handled[code]);
    }
    Advance(*series_.handling, counts.handling);
    Advance(*series_.queue, counts.queue);
    Advance(*series_.compute, counts.compute);
    Advance(*series_.wire, counts.wire);
  });
  counts_.ForEach([this](auto& counts) {
    Advance(*series_.started, counts.started);
    Advance(*series_.messages_received, counts.messages_received);
    Advance(*series_.messages_sent, counts.messages_sent);
    Advance(*series_.bytes_received, counts.bytes_received);
    Advance(*series_.bytes_sent, counts.bytes_sent);
  });
}

Metrics::Metrics(const Build& build)
    : families_(std::make_unique<Families>(build)) {}

Metrics::~Metrics() = default;

MethodMetrics& Metrics::ForMethod(absl::string_view service,
                                  absl::string_view method) {
  return families_->Add(service, method);
}

void Metrics::CountWork(const CallWork& work) { families_->CountWork(work); }

void Metrics::CountFailed(const absl::Status& status) {
  families_->CountFailed(status);
}

std::string Metrics::Text(const ServerReadings& readings) {
  return families_->Text(readings);
}

}  // namespace halfstep

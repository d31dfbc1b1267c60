// Whether the server should be sent calls: what health checks say.
#ifndef HALFSTEP_SERVER_TELEMETRY_READINESS_H_
#define HALFSTEP_SERVER_TELEMETRY_READINESS_H_

#include <array>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"

namespace grpc {
class HealthCheckServiceInterface;
}  // namespace grpc

namespace halfstep {

// It is ready while every condition holds. Thread-safe.
class Readiness {
 public:
  enum class Condition : uint8_t { kStarted, kReachable, kNotStopping };

  // `services`: whose status gRPC's health service is told, beside that of the
  // server as a whole, which has the empty name.
  explicit Readiness(std::vector<std::string> services)
      : services_(std::move(services)) {}
  Readiness(const Readiness&) = delete;
  Readiness& operator=(const Readiness&) = delete;

  // Tells `health` from now on, which must live until this is called with null.
  void Publish(grpc::HealthCheckServiceInterface* health);

  void Set(Condition condition, bool holds);

  bool is_ready() const;
  // "ready", or what is not so: "shutting down".
  absl::string_view Describe() const;

 private:
  bool IsReady() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  void Tell() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::vector<std::string> services_;
  mutable absl::Mutex mutex_;
  grpc::HealthCheckServiceInterface* health_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::array<bool, 3> holds_ ABSL_GUARDED_BY(mutex_) = {false, true, true};
};

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_TELEMETRY_READINESS_H_

#include "server/telemetry/readiness.h"

#include <grpcpp/health_check_service_interface.h>

#include <algorithm>

namespace halfstep {

void Readiness::Publish(grpc::HealthCheckServiceInterface* health) {
  const absl::MutexLock lock(&mutex_);
  health_ = health;
  Tell();
}

void Readiness::Set(Condition condition, bool holds) {
  const absl::MutexLock lock(&mutex_);
  holds_.at(static_cast<size_t>(condition)) = holds;
  Tell();
}

bool Readiness::is_ready() const {
  const absl::MutexLock lock(&mutex_);
  return IsReady();
}

absl::string_view Readiness::Describe() const {
  const absl::MutexLock lock(&mutex_);
  const auto holds = [this](Condition condition) {
    mutex_.AssertReaderHeld();
    return holds_.at(static_cast<size_t>(condition));
  };
  if (!holds(Condition::kNotStopping)) return "shutting down";
  if (!holds(Condition::kStarted)) return "starting";
  if (!holds(Condition::kReachable)) return "not reachable at its own address";
  return "ready";
}

bool Readiness::IsReady() const {
  return std::all_of(holds_.begin(), holds_.end(),
                     [](bool one) { return one; });
}

void Readiness::Tell() {
  if (health_ == nullptr) return;
  const bool is_ready = IsReady();
  // The server as a whole first: it says SERVING while one of its services may
  // not yet, never the other way round.
  health_->SetServingStatus(is_ready);
  for (const std::string& service : services_) {
    health_->SetServingStatus(service, is_ready);
  }
}

}  // namespace halfstep

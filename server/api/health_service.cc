#include "server/api/health_service.h"

#include <google/protobuf/stubs/logging.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <grpcpp/support/status.h>

#include <optional>

#include "absl/strings/str_cat.h"
#include "grpc/health/v1/health.pb.h"
#include "server/wire/wire.h"

namespace halfstep {
namespace {

using ::grpc::health::v1::HealthCheckRequest;
using ::grpc::health::v1::HealthCheckResponse;

// As gRPC's own service has it.
constexpr size_t kNameBytesMax = 200;
// Room for that name and for fields of later versions. No admission stands
// before these calls, so that nothing large may be parsed.
constexpr size_t kRequestBytesMax = 4096;

grpc::Status InvalidArgument(const std::string& message) {
  return {grpc::StatusCode::INVALID_ARGUMENT, message};
}

grpc::Status ClientHasGone() {
  return {grpc::StatusCode::CANCELLED, "the client has gone"};
}

// Sets `service` to what `request` asks about.
grpc::Status Parse(grpc::ByteBuffer& request, std::string& service) {
  if (request.Length() > kRequestBytesMax) {
    return InvalidArgument(absl::StrCat("request: ", request.Length(),
                                        " bytes; must be at most ",
                                        kRequestBytesMax));
  }
  // Anybody may ask, and must not write to our output by what is not UTF-8.
  const google::protobuf::LogSilencer silence;
  HealthCheckRequest parsed;
  grpc::ProtoBufferReader reader(&request);
  if (!reader.status().ok() || !parsed.ParseFromZeroCopyStream(&reader)) {
    return InvalidArgument("could not parse request");
  }
  if (parsed.service().size() > kNameBytesMax) {
    return InvalidArgument(absl::StrCat("service: ", parsed.service().size(),
                                        " bytes; must be at most ",
                                        kNameBytesMax));
  }
  service = parsed.service();
  return grpc::Status::OK;
}

}  // namespace

// A call that begins with one request.
class HealthService::Question : public CallReactor {
 public:
  void Begin() { StartRead(&request_); }

 protected:
  Question(HealthService& health, RawCall& call)
      : CallReactor(call), health_(health) {}

  virtual void Asked(const std::string& service) = 0;

  HealthService& health_;

 private:
  void OnReadDone(bool ok) final {
    if (!ok) {
      return Finish(
          InvalidArgument("request: no message; must be one message"));
    }
    std::string service;
    if (const grpc::Status parsed = Parse(request_, service); !parsed.ok()) {
      return Finish(parsed);
    }
    Asked(service);
  }

  void OnDone() final { delete this; }

  grpc::ByteBuffer request_;
};

class HealthService::Check final : public Question {
 public:
  Check(HealthService& health, RawCall& call) : Question(health, call) {}

 private:
  void Asked(const std::string& service) override {
    const ServingStatus status = health_.StatusOf(service);
    if (status == ServingStatus::kServiceUnknown) {
      return Finish({grpc::StatusCode::NOT_FOUND, "service name unknown"});
    }
    StartWriteAndFinish(Serialize(status), grpc::Status::OK);
  }
};

// It has one turn, which at any time is taken by at most one of: the read, a
// write, whoever is about to start a write, the end. Only who has the turn
// starts anything, and the end never gives it back: so nothing is written after
// Finish, and a call whose turn is taken does not go away.
class HealthService::Watch final : public Question {
 public:
  Watch(HealthService& health, RawCall& call) : Question(health, call) {}

  ~Watch() override {
    const absl::MutexLock lock(&health_.mutex_);
    if (subject_ == nullptr) return;
    subject_->watches.erase(this);
    // Clients must not fill the memory with names of their own making.
    if (subject_->watches.empty() &&
        subject_->status == ServingStatus::kServiceUnknown) {
      health_.subjects_.erase(service_);
    }
  }

  // Whether there is news, and nobody else will tell: the caller must Tell.
  bool TakesTurn() {
    health_.mutex_.AssertHeld();
    if (is_turn_taken_ || sent_ == subject_->status) return false;
    is_turn_taken_ = true;
    return true;
  }

  // By who has the turn: hands it to a write, or to the end, or gives it back.
  void Tell() {
    std::optional<ServingStatus> news;
    {
      const absl::MutexLock lock(&health_.mutex_);
      if (!is_cancelled_) {
        if (sent_ == subject_->status) {
          is_turn_taken_ = false;
          return;
        }
        sent_ = subject_->status;
        news = sent_;
      }
    }
    if (!news.has_value()) return Finish(ClientHasGone());
    StartWrite(Serialize(*news));
  }

 private:
  void Asked(const std::string& service) override {
    {
      const absl::MutexLock lock(&health_.mutex_);
      service_ = service;
      subject_ = &health_.subjects_[service];
      subject_->watches.insert(this);
    }
    Tell();
  }

  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(ClientHasGone());
    Tell();
  }

  void OnCancel() override {
    {
      const absl::MutexLock lock(&health_.mutex_);
      is_cancelled_ = true;
      if (is_turn_taken_) return;
      is_turn_taken_ = true;
    }
    Finish(ClientHasGone());
  }

  // By the read, to begin with.
  bool is_turn_taken_ ABSL_GUARDED_BY(health_.mutex_) = true;
  bool is_cancelled_ ABSL_GUARDED_BY(health_.mutex_) = false;
  std::optional<ServingStatus> sent_ ABSL_GUARDED_BY(health_.mutex_);
  std::string service_ ABSL_GUARDED_BY(health_.mutex_);
  // Null until asked.
  Subject* subject_ ABSL_GUARDED_BY(health_.mutex_) = nullptr;
};

HealthService::HealthService() : RawService("grpc.health.v1.Health") {
  subjects_[""].status = ServingStatus::kNotServing;
  Add("Check", [this](RawCall& call) { (new Check(*this, call))->Begin(); });
  Add("Watch", [this](RawCall& call) { (new Watch(*this, call))->Begin(); });
}

void HealthService::SetServingStatus(const std::string& service, bool serving) {
  std::vector<Watch*> turns;
  {
    const absl::MutexLock lock(&mutex_);
    // What is set after the shutdown becomes known all the same.
    Set(serving && !is_shut_down_ ? ServingStatus::kServing
                                  : ServingStatus::kNotServing,
        subjects_[service], turns);
  }
  Tell(turns);
}

void HealthService::SetServingStatus(bool serving) {
  std::vector<Watch*> turns;
  {
    const absl::MutexLock lock(&mutex_);
    if (is_shut_down_) return;
    SetAllKnown(serving ? ServingStatus::kServing : ServingStatus::kNotServing,
                turns);
  }
  Tell(turns);
}

void HealthService::Shutdown() {
  std::vector<Watch*> turns;
  {
    const absl::MutexLock lock(&mutex_);
    is_shut_down_ = true;
    SetAllKnown(ServingStatus::kNotServing, turns);
  }
  Tell(turns);
}

grpc::ByteBuffer HealthService::Serialize(ServingStatus status) {
  HealthCheckResponse response;
  response.set_status(static_cast<HealthCheckResponse::ServingStatus>(status));
  return halfstep::Serialize(response);
}

HealthService::ServingStatus HealthService::StatusOf(
    const std::string& service) const {
  const absl::MutexLock lock(&mutex_);
  const auto found = subjects_.find(service);
  return found == subjects_.end() ? ServingStatus::kServiceUnknown
                                  : found->second.status;
}

void HealthService::Set(ServingStatus status, Subject& subject,
                        std::vector<Watch*>& turns) {
  subject.status = status;
  for (Watch* const watch : subject.watches) {
    if (watch->TakesTurn()) turns.push_back(watch);
  }
}

void HealthService::SetAllKnown(ServingStatus status,
                                std::vector<Watch*>& turns) {
  for (auto& [service, subject] : subjects_) {
    if (subject.status != ServingStatus::kServiceUnknown) {
      Set(status, subject, turns);
    }
  }
}

void HealthService::Tell(const std::vector<Watch*>& turns) {
  for (Watch* const watch : turns) watch->Tell();
}

}  // namespace halfstep

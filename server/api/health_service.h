// grpc.health.v1.Health: whether services serve, for clients that ask and for
// clients that wait to be told.
//
// As gRPC's own does it, which cannot be taken: it lives on gRPC's callback
// API, whose threads poll beside ours and take events away from them. That
// costs 40 % of calls per second (docs/adr/0010-a-completion-queue.md).
#ifndef HALFSTEP_SERVER_API_HEALTH_SERVICE_H_
#define HALFSTEP_SERVER_API_HEALTH_SERVICE_H_

#include <grpcpp/health_check_service_interface.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "server/call/raw_call.h"

namespace halfstep {

// Knows the server as a whole, by the empty name, from the start: it does not
// serve yet. Outlives the calls to it. Thread-safe; whoever sets a status must
// be done when EventLoop::Stop is called.
//
//   Check  INVALID_ARGUMENT for what is no request, or a name over 200 bytes;
//          NOT_FOUND for a service of which no status was ever set.
//   Watch  INVALID_ARGUMENT likewise. Sends the status now, SERVICE_UNKNOWN
//          where there is none, and then each that differs from the last one
//          sent; of several that came during a write, the newest. Goes on until
//          it is cancelled.
//   List   is not served.
//
// Its errors are gRPC's, without the details that ours have.
class HealthService final : public RawService,
                            public grpc::HealthCheckServiceInterface {
 public:
  HealthService();

  void SetServingStatus(const std::string& service, bool serving) override;
  // Of all that are known.
  void SetServingStatus(bool serving) override;
  // From now on nothing serves, whatever is set.
  void Shutdown() override;

 private:
  // Values as on the wire.
  enum class ServingStatus : uint8_t {
    kServing = 1,
    kNotServing = 2,
    kServiceUnknown = 3
  };

  // The reactors, which own themselves.
  class Question;
  class Check;
  class Watch;

  // A service that is known, or that is watched.
  struct Subject {
    ServingStatus status = ServingStatus::kServiceUnknown;
    std::set<Watch*> watches;
  };

  static grpc::ByteBuffer Serialize(ServingStatus status);
  ServingStatus StatusOf(const std::string& service) const;
  // Takes the turn of all who must be told, and adds them to `turns`.
  static void Set(ServingStatus status, Subject& subject,
                  std::vector<Watch*>& turns);
  void SetAllKnown(ServingStatus status, std::vector<Watch*>& turns)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Not under the mutex: each writes to a socket.
  static void Tell(const std::vector<Watch*>& turns);

  mutable absl::Mutex mutex_;
  bool is_shut_down_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<std::string, Subject> subjects_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_API_HEALTH_SERVICE_H_

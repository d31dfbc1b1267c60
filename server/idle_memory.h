// Gives memory back to the system while the server has nothing to do.
#ifndef HALFSTEP_SERVER_IDLE_MEMORY_H_
#define HALFSTEP_SERVER_IDLE_MEMORY_H_

#include <memory>
#include <thread>

#include "absl/synchronization/notification.h"
#include "server/admission.h"
#include "server/buffer_pool.h"

namespace halfstep {

// A thread that looks once a second: buffers that no call has taken for
// kIdleTime are freed, and when no call at all came for as long, what malloc
// still holds for gRPC's slices goes back as well.
class IdleMemory {
 public:
  static constexpr absl::Duration kIdleTime = absl::Seconds(5);

  // Both must outlive this object.
  IdleMemory(const Admission& admission, BufferPool& buffers);
  ~IdleMemory();
  IdleMemory(const IdleMemory&) = delete;
  IdleMemory& operator=(const IdleMemory&) = delete;

 private:
  void Watch();

  const Admission& admission_;
  BufferPool& buffers_;
  absl::Notification stop_;
  std::thread thread_;
};

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_IDLE_MEMORY_H_

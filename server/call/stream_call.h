// Calls on raw bytes whose messages come and go one after the other.
//
// Flow control both ways: at most one message is read ahead of the one that is
// being computed, and nothing is computed while replies wait behind the one
// that is being written. A client that does not read makes the server stop
// reading.
#ifndef HALFSTEP_SERVER_CALL_STREAM_CALL_H_
#define HALFSTEP_SERVER_CALL_STREAM_CALL_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/call/call.h"

namespace halfstep {

// One stream, as the code that computes its replies sees it.
class StreamSession : public Call {
 public:
  using Call::Call;

  // Holds `bytes` from now on, beside the messages, their fields, and one
  // window of results. RESOURCE_EXHAUSTED if the server never has room for that
  // ("request"), or not now.
  absl::Status Hold(uint64_t bytes);

  // Memory for a window of results.
  Buffer Take(size_t bytes) { return environment_.buffers->Take(bytes); }

 protected:
  absl::Status HoldFields() final { return Hold(held_bytes_); }

  uint64_t message_bytes_max_ = 0;  // the longest message so far

 private:
  uint64_t held_bytes_ = 0;
};

// What a stream does. Used by one thread at a time; each function may take as
// long as a window takes to compute, or the tensor of one message.
class StreamHandler {
 public:
  virtual ~StreamHandler() = default;

  // Takes the next message, which stays in memory until Next returns nothing.
  virtual absl::Status Take(const grpc::ByteBuffer& message) = 0;

  // The client has sent its last message.
  virtual absl::Status TakeEnd() = 0;

  // The next replies that can be made from what was taken: about a window of
  // them, or none if there is nothing left to do until the next Take.
  virtual absl::StatusOr<std::vector<grpc::ByteBuffer>> Next() = 0;

  // Whether what the next short message asks for is quickly done.
  virtual bool is_quick() const = 0;
};

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_CALL_STREAM_CALL_H_

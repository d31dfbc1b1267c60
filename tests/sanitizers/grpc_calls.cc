// Tells ThreadSanitizer what gRPC orders beside its locks (abseil_locks.cc).
//
// gRPC hands work from thread to thread through queues without locks, which
// ThreadSanitizer cannot see in a library that is not instrumented. So these
// definitions stand in front of gRPC's and say what its interface promises:
//
//   - what was done before an operation was started, or a call asked for, has
//     been done when its tag comes out of the completion queue, or when one of
//     the call's callbacks runs;
//   - what was done before a server was started has been done when a call
//     comes.
//
// For callbacks (those of clients: the server has none) that is a little more
// within one call than gRPC promises: a race between two that overlap may go
// unseen. Between calls, and between calls and all else, it is no more.
#include <grpc/grpc.h>
#include <sanitizer/tsan_interface.h>

#include "tests/sanitizers/real.h"

namespace {

using ::halfstep::Real;

char server_start;
char server_end;

}  // namespace

extern "C" {

void grpc_server_start(grpc_server* server) {
  static Real<void(grpc_server*)> real("grpc_server_start");
  __tsan_release(&server_start);
  real(server);
}

grpc_call_error grpc_call_start_batch(grpc_call* call, const grpc_op* ops,
                                      size_t count, void* tag, void* reserved) {
  static Real<grpc_call_error(grpc_call*, const grpc_op*, size_t, void*, void*)>
      real("grpc_call_start_batch");
  __tsan_release(call);
  __tsan_release(tag);
  return real(call, ops, count, tag, reserved);
}

grpc_call_error grpc_server_request_registered_call(
    grpc_server* server, void* method, grpc_call** call, gpr_timespec* deadline,
    grpc_metadata_array* metadata, grpc_byte_buffer** payload,
    grpc_completion_queue* call_queue, grpc_completion_queue* server_queue,
    void* tag) {
  static Real<grpc_call_error(grpc_server*, void*, grpc_call**, gpr_timespec*,
                              grpc_metadata_array*, grpc_byte_buffer**,
                              grpc_completion_queue*, grpc_completion_queue*,
                              void*)>
      real("grpc_server_request_registered_call");
  __tsan_release(tag);
  return real(server, method, call, deadline, metadata, payload, call_queue,
              server_queue, tag);
}

grpc_event grpc_completion_queue_next(grpc_completion_queue* queue,
                                      gpr_timespec deadline, void* reserved) {
  static Real<grpc_event(grpc_completion_queue*, gpr_timespec, void*)> real(
      "grpc_completion_queue_next");
  const grpc_event event = real(queue, deadline, reserved);
  if (event.type == GRPC_OP_COMPLETE) __tsan_acquire(event.tag);
  return event;
}

// The first that the C++ library does with a call, before the handler runs.
void grpc_call_ref(grpc_call* call) {
  static Real<void(grpc_call*)> real("grpc_call_ref");
  __tsan_acquire(&server_start);
  real(call);
}

// The last that it does with an operation that is over, before the callback.
void grpc_call_unref(grpc_call* call) {
  static Real<void(grpc_call*)> real("grpc_call_unref");
  __tsan_acquire(call);
  __tsan_release(&server_end);
  real(call);
}

void grpc_server_destroy(grpc_server* server) {
  static Real<void(grpc_server*)> real("grpc_server_destroy");
  real(server);
  __tsan_acquire(&server_end);
}

}  // extern "C"

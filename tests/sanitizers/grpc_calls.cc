// Tells ThreadSanitizer what gRPC orders beside its locks (abseil_locks.cc).
//
// gRPC hands work from thread to thread through queues without locks, which
// ThreadSanitizer cannot see in a library that is not instrumented. So these
// definitions stand in front of gRPC's and say what its interface promises:
//
//   - what was done before an operation of a call was started has been done
//   when
//     one of the call's callbacks runs;
//   - what was done before a server was started has been done when a call
//   comes.
//
// Within one call that is a little more than gRPC promises: a race between two
// callbacks of one call that overlap may go unseen. Between calls, and between
// calls and all else, it is no more.
#include <grpc/grpc.h>
#include <sanitizer/tsan_interface.h>

#include "tests/sanitizers/real.h"

namespace {

using ::halfstep::Real;

char server_start;
char server_end;
char call_finish;

bool IsFinish(const grpc_op* ops, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if (ops[i].op == GRPC_OP_SEND_STATUS_FROM_SERVER) return true;
  }
  return false;
}

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
  if (IsFinish(ops, count)) __tsan_release(&call_finish);
  return real(call, ops, count, tag, reserved);
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

// grpc::internal::ServerCallbackCall::ScheduleOnDone, once a call's last
// callback has returned.
void ScheduleOnDone(void* self, bool is_inline) __asm__(
    "_ZN4grpc8internal18ServerCallbackCall14ScheduleOnDoneEb");
void ScheduleOnDone(void* self, bool is_inline) {
  static Real<void(void*, bool)> real(
      "_ZN4grpc8internal18ServerCallbackCall14ScheduleOnDoneEb");
  __tsan_acquire(&call_finish);
  real(self, is_inline);
}

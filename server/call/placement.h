// Where a call is computed: on the thread that read its request, or on the
// executor. Handing it over costs the wake-up of a thread, as much processor
// time as it takes to quantize hundreds of KiB (docs/adr/0008).
#ifndef HALFSTEP_SERVER_CALL_PLACEMENT_H_
#define HALFSTEP_SERVER_CALL_PLACEMENT_H_

#include <algorithm>
#include <cstddef>

#include "absl/functional/function_ref.h"
#include "core/executor.h"

namespace halfstep {

// Requests up to this long are computed where they were read: a tensor of 256
// KiB and what stands before it.
inline constexpr size_t kInlineRequestBytesMax = size_t{260} << 10;
// And up to this long, a tensor of 1 MiB, unless it pays to hand them over.
inline constexpr size_t kSometimesInlineRequestBytesMax = size_t{1028} << 10;
// Unless their reply is longer than this: a short request can ask for a million
// parameters.
inline constexpr size_t kInlineReplyBytesMax = size_t{260} << 10;

// Of a stream, where the next message can be read meanwhile, messages of a
// tensor of 64 KiB.
inline constexpr size_t kInlineMessageBytesMax = size_t{68} << 10;

// Whether a unary call is to be computed on the thread that read its request of
// `bytes`. Handing over pays where that thread has other calls to see to, and a
// core is free for this one. `calls_in_flight`, this one among them, is asked
// only if it matters.
inline bool IsInline(size_t bytes, const Executor& executor, int io_threads,
                     absl::FunctionRef<size_t()> calls_in_flight) {
  if (bytes <= kInlineRequestBytesMax) return true;
  if (bytes > kSometimesInlineRequestBytesMax) return false;
  const int cores = std::max(0, executor.threads() - io_threads);
  return calls_in_flight() == 1 ||
         executor.pending() >= static_cast<size_t>(cores);
}

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_CALL_PLACEMENT_H_

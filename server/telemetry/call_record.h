// What became of one call: what the log writes, and what the metrics count.
#ifndef HALFSTEP_SERVER_TELEMETRY_CALL_RECORD_H_
#define HALFSTEP_SERVER_TELEMETRY_CALL_RECORD_H_

#include <algorithm>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace halfstep {

// What a call did to tensors. Zero where it did nothing of the kind.
struct CallWork {
  absl::string_view scheme;  // "symmetric" or "asymmetric"; empty: no spec
  uint64_t elements = 0;     // quantized, dequantized, compared or observed
  uint64_t saturated = 0;    // of them
  uint64_t non_finite = 0;   // of them
};

struct CallRecord {
  absl::string_view method;  // "QuantizationService/Quantize"
  std::string peer;          // as gRPC has it, "ipv4:127.0.0.1:42522"
  std::string caller;        // who the bearer's token belongs to, if anybody
  std::string request_id;    // server/call/request_id.h
  std::string trace_id;      // 32 hexadecimal digits, or empty
  uint64_t bytes_in = 0;     // of messages
  uint64_t bytes_out = 0;
  absl::Duration queue_time;    // waited for admission and for a thread
  absl::Duration compute_time;  // on threads of ours
  absl::Duration total_time;    // until the client had its answer, or was gone
  CallWork work;
  absl::Status status;

  // What is left of total_time: reading, writing, waiting for the client. Never
  // negative, though a stream computes while it reads.
  absl::Duration wire_time() const {
    return std::max(absl::ZeroDuration(),
                    total_time - queue_time - compute_time);
  }
};

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_TELEMETRY_CALL_RECORD_H_

// QuantizationService.QuantizeStream and DequantizeStream.
#ifndef HALFSTEP_SERVER_API_TENSOR_STREAMS_H_
#define HALFSTEP_SERVER_API_TENSOR_STREAMS_H_

#include <memory>

#include "server/call/stream_call.h"

namespace halfstep {

// `session` outlives the handler.
std::unique_ptr<StreamHandler> MakeQuantizeStream(StreamSession& session);
std::unique_ptr<StreamHandler> MakeDequantizeStream(StreamSession& session);

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_API_TENSOR_STREAMS_H_

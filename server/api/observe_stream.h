// CalibrationService.Observe.
#ifndef HALFSTEP_SERVER_API_OBSERVE_STREAM_H_
#define HALFSTEP_SERVER_API_OBSERVE_STREAM_H_

#include <memory>

#include "server/call/stream_call.h"

namespace halfstep {

// `session` outlives the handler.
std::unique_ptr<StreamHandler> MakeObserveStream(StreamSession& session);

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_API_OBSERVE_STREAM_H_

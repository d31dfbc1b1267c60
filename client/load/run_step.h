// Runs one step of load against a server.
#ifndef HALFSTEP_CLIENT_LOAD_RUN_STEP_H_
#define HALFSTEP_CLIENT_LOAD_RUN_STEP_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/client.h"
#include "client/load/step.h"
#include "client/load/workload.h"

namespace grpc {
class Channel;
}  // namespace grpc

namespace halfstep::load {

// Whether `reply` is the right answer to the variant of this index; if not, an
// error that says which element is wrong. Called by several threads at once.
using Verifier =
    std::function<absl::Status(size_t variant, const grpc::ByteBuffer& reply)>;

// How a step that runs is doing: shown and forgotten.
struct Progress {
  absl::Duration elapsed;  // the warm-up included
  absl::Duration total;
  bool warming_up = false;
  int outstanding = 0;
  // Of the measured time so far; the same as in the result.
  std::function<StepResult()> so_far;
};

// Called about ten times a second while a step runs. False stops it: calls in
// flight are cancelled.
using Tick = std::function<bool(const Progress& progress)>;

// `count` connections of their own to the server at `address`, which
// Client::Connect has accepted; nothing is sent yet. Of `options`, what it says
// about credentials applies: they do not retry. Nor do they go through a proxy
// for the web. `settings` are arguments of gRPC's channels.
std::vector<std::shared_ptr<grpc::Channel>> ConnectChannels(
    const std::string& address, int count, const ClientOptions& options,
    const std::vector<ChannelSetting>& settings = {});

// Sends calls over `channels`, taking turns, until the time is over, and waits
// for those in flight. `verify` may be null if options.verify_fraction is 0.
//
// A closed loop starts a call when one ends, and waits 10 ms first if it
// failed. An open loop starts calls when they are due; latency counts from then
// in every case.
StepResult RunStep(const Workload& workload,
                   const std::vector<std::shared_ptr<grpc::Channel>>& channels,
                   const StepOptions& options, const Verifier& verify,
                   const Tick& tick);

}  // namespace halfstep::load

#endif  // HALFSTEP_CLIENT_LOAD_RUN_STEP_H_

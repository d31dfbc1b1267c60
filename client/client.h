// A client of a Halfstep server.
//
//   auto client = halfstep::Client::Connect("localhost:50051");
//   if (!client.ok()) return client.status();
//   halfstep::v1::QuantizeRequest request;
//   ...
//   auto response = (*client)->Quantize(request);
//   if (!response.ok()) return response.status();
//
// Requests and replies are the API's own messages
// (proto/halfstep/v1/quantization.proto): what is wrong with a request, the
// server says.
#ifndef HALFSTEP_CLIENT_CLIENT_H_
#define HALFSTEP_CLIENT_CLIENT_H_

#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "halfstep/v1/quantization.grpc.pb.h"

namespace grpc {
class ChannelCredentials;
class ChannelInterface;
}  // namespace grpc

namespace halfstep {

struct ClientOptions {
  // How long a call may take, its retries included.
  absl::Duration timeout = absl::Seconds(60);
  // How often a call is sent at most while the server is UNAVAILABLE: 1 to 5.
  int attempts = 5;
  // Null: not encrypted. client/credentials.h makes them from files.
  std::shared_ptr<grpc::ChannelCredentials> credentials;
  // The name that the server's certificate must have; empty: that in the
  // address.
  std::string server_name = {};
};

// The methods are thread-safe. Each waits for the reply and returns
//   UNAVAILABLE        no server, also after the retries
//   DEADLINE_EXCEEDED  no reply within ClientOptions::timeout
//   INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNIMPLEMENTED, ...  as the API says,
// with the details of client/call_status.h; and RESOURCE_EXHAUSTED without
// sending anything if a request is too large for a message (2^31 - 1 bytes).
class Client {
 public:
  // A client of the server at `address`: HOST:PORT, unix:PATH, or a name that
  // gRPC resolves, such as dns:///HOST:PORT, whose addresses take turns.
  // Nothing is sent before the first call.
  //
  // INVALID_ARGUMENT if `address` has no port or attempts are out of range.
  static absl::StatusOr<std::unique_ptr<Client>> Connect(
      const std::string& address, const ClientOptions& options = {});

  // A client on a channel that exists already, such as one inside the process;
  // only options.timeout applies.
  explicit Client(const std::shared_ptr<grpc::ChannelInterface>& channel,
                  const ClientOptions& options = {});
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  absl::StatusOr<v1::QuantizeResponse> Quantize(
      const v1::QuantizeRequest& request);
  absl::StatusOr<v1::DequantizeResponse> Dequantize(
      const v1::DequantizeRequest& request);
  absl::StatusOr<v1::FakeQuantizeResponse> FakeQuantize(
      const v1::FakeQuantizeRequest& request);
  absl::StatusOr<v1::MeasureErrorResponse> MeasureError(
      const v1::MeasureErrorRequest& request);
  absl::StatusOr<v1::GetServerInfoResponse> GetServerInfo();
  absl::StatusOr<v1::MergeResponse> Merge(const v1::MergeRequest& request);
  absl::StatusOr<v1::ComputeParametersResponse> ComputeParameters(
      const v1::ComputeParametersRequest& request);

  // Streams: tensors of any size. `next` fills in the next request, which is
  // empty, or returns false after the last one; it runs on a thread of its own.
  // `take` is given each response in order. An error of either ends the stream
  // and is returned. ClientOptions::timeout is how long nothing may come or go
  // (DEADLINE_EXCEEDED otherwise); nothing is sent twice.
  template <typename Request>
  using Next = absl::FunctionRef<absl::StatusOr<bool>(Request&)>;
  template <typename Response>
  using Take = absl::FunctionRef<absl::Status(Response&)>;
  absl::Status QuantizeStream(Next<v1::QuantizeStreamRequest> next,
                              Take<v1::QuantizeStreamResponse> take);
  absl::Status DequantizeStream(Next<v1::DequantizeStreamRequest> next,
                                Take<v1::DequantizeStreamResponse> take);
  absl::StatusOr<v1::ObserveResponse> Observe(Next<v1::ObserveRequest> next);

  // OK if the server says that it serves; UNAVAILABLE if it says that it does
  // not, as while it shuts down.
  absl::Status CheckHealth();

 private:
  class Stubs;
  std::unique_ptr<Stubs> stubs_;
  absl::Duration timeout_;
};

}  // namespace halfstep

#endif  // HALFSTEP_CLIENT_CLIENT_H_

// Calls on bytes, for what a generated stub cannot send.
#ifndef HALFSTEP_TESTS_SERVER_RAW_CLIENT_H_
#define HALFSTEP_TESTS_SERVER_RAW_CLIENT_H_

#include <grpcpp/grpcpp.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace halfstep {

// A unary call with `request` as its message.
grpc::Status CallWithBytes(grpc::Channel& channel, const std::string& method,
                           const std::string& request, std::string* reply);

// A call whose messages are sent one by one, or not at all.
class OpenCall {
 public:
  // `method`  "/halfstep.v1.QuantizationService/Quantize"
  OpenCall(grpc::Channel& channel, const std::string& method,
           grpc_compression_algorithm compression = GRPC_COMPRESS_NONE,
           const std::multimap<std::string, std::string>& metadata = {});
  // Cancels the call unless Finish was called.
  ~OpenCall();

  bool Send(const std::string& message);
  // Sends no more messages, and waits for the status and reply.
  grpc::Status Finish();
  // Waits for the status as a client that may still want to send.
  grpc::Status Await();

  const grpc::ByteBuffer& reply() const { return reply_; }
  // For the trailers, after Finish or Await.
  const grpc::ClientContext& context() const { return context_; }

 private:
  const std::string method_;
  grpc::ClientContext context_;
  grpc::ByteBuffer reply_;
  std::unique_ptr<grpc::ClientWriter<grpc::ByteBuffer>> writer_;
  bool is_finished_ = false;
};

}  // namespace halfstep

#endif  // HALFSTEP_TESTS_SERVER_RAW_CLIENT_H_

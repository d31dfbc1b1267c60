#include "tests/server/raw_client.h"

#include <grpcpp/impl/rpc_method.h>
#include <grpcpp/support/sync_stream.h>

namespace halfstep {
namespace {

using ::grpc::internal::RpcMethod;

}  // namespace

grpc::Status CallWithBytes(grpc::Channel& channel, const std::string& method,
                           const std::string& request, std::string* reply) {
  OpenCall call(channel, method);
  call.Send(request);
  grpc::Status status = call.Finish();
  if (status.ok() && reply != nullptr) {
    reply->clear();
    std::vector<grpc::Slice> slices;
    call.reply().Dump(&slices).IgnoreError();
    for (const grpc::Slice& slice : slices) {
      reply->append(reinterpret_cast<const char*>(slice.begin()), slice.size());
    }
  }
  return status;
}

OpenCall::OpenCall(grpc::Channel& channel, const std::string& method,
                   grpc_compression_algorithm compression,
                   const std::multimap<std::string, std::string>& metadata)
    : method_(method) {
  context_.set_compression_algorithm(compression);
  for (const auto& [key, value] : metadata) context_.AddMetadata(key, value);
  writer_.reset(grpc::internal::ClientWriterFactory<grpc::ByteBuffer>::Create(
      &channel, RpcMethod(method_.c_str(), RpcMethod::CLIENT_STREAMING),
      &context_, &reply_));
}

OpenCall::~OpenCall() {
  if (is_finished_) return;
  context_.TryCancel();
  writer_->Finish().IgnoreError();
}

bool OpenCall::Send(const std::string& message) {
  const grpc::Slice slice(message);
  return writer_->Write(grpc::ByteBuffer(&slice, 1));
}

grpc::Status OpenCall::Finish() {
  writer_->WritesDone();
  return Await();
}

grpc::Status OpenCall::Await() {
  is_finished_ = true;
  return writer_->Finish();
}

}  // namespace halfstep

// The life of a call, as a client sees it: what it is told beside its reply,
// and when it is ended.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "halfstep/v1/quantization.grpc.pb.h"
#include "server/options.h"
#include "server/server.h"
#include "tests/server/raw_client.h"

namespace halfstep {
namespace {

using ::grpc::StatusCode;
using ::testing::HasSubstr;

constexpr char kQuantize[] = "/halfstep.v1.QuantizationService/Quantize";

class CallTest : public ::testing::Test {
 protected:
  // Two calls that wait for their messages fit at once.
  static constexpr uint64_t kRoomForTwo =
      2 * ((1 << 20) + kFieldBytesAllowance);
  static constexpr uint64_t kRoomForStreams = uint64_t{128} << 20;

  // A server that gives a client `stall_timeout` to go on, and lets no call
  // wait for its turn.
  void Start(absl::Duration stall_timeout, uint64_t max_bytes_in_flight) {
    ServerOptions options;
    options.listen = {"127.0.0.1:0"};
    options.threads = 2;
    options.log_level = "off";
    options.call.max_message_bytes = 1 << 20;
    options.load.max_bytes_in_flight = max_bytes_in_flight;
    options.load.max_waiting_calls = 0;
    options.load.stall_timeout = stall_timeout;
    absl::StatusOr<std::unique_ptr<Server>> server = Server::Start(options);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    channel_ = grpc::CreateChannel(server_->addresses()[0],
                                   grpc::InsecureChannelCredentials());
  }

  static std::string Request() {
    v1::QuantizeRequest request;
    request.mutable_tensor()->add_shape(2);
    request.mutable_tensor()->add_values(1);
    request.mutable_tensor()->add_values(2);
    return request.SerializeAsString();
  }

  // The value of `key` in the trailers; empty if there is none.
  static std::string Trailer(const OpenCall& call, const std::string& key) {
    const auto& trailers = call.context().GetServerTrailingMetadata();
    const auto found = trailers.find(key);
    if (found == trailers.end()) return "";
    return {found->second.data(), found->second.size()};
  }

  std::unique_ptr<Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(CallTest, EndsWhenItsClientDoesNotSend) {
  Start(absl::Milliseconds(300), kRoomForTwo);
  OpenCall first(*channel_, kQuantize);
  OpenCall second(*channel_, kQuantize);
  const grpc::Status status = first.Await();
  EXPECT_EQ(status.error_code(), StatusCode::DEADLINE_EXCEEDED);
  EXPECT_THAT(status.error_message(),
              HasSubstr("neither sent a whole message nor took one for 300ms"));
  EXPECT_EQ(second.Await().error_code(), StatusCode::DEADLINE_EXCEEDED);
  // Two calls fit at once, and none may wait: both tickets come back, which may
  // take a moment longer than the client's news.
  for (int i = 0; i < 10; ++i) {
    const absl::Time patience = absl::Now() + absl::Seconds(30);
    while (!CallWithBytes(*channel_, kQuantize, Request(), nullptr).ok()) {
      ASSERT_LT(absl::Now(), patience);
    }
  }
}

TEST_F(CallTest, EndsWhenItsClientDoesNotTakeReplies) {
  Start(absl::Milliseconds(300), kRoomForStreams);
  const auto stub = v1::QuantizationService::NewStub(channel_);
  grpc::ClientContext context;
  const auto stream = stub->DequantizeStream(&context);
  v1::DequantizeStreamRequest header;
  header.mutable_header()->mutable_parameters()->mutable_spec()->set_bits(1);
  header.mutable_header()->mutable_parameters()->mutable_spec()->set_packing(
      v1::PACKING_DENSE);
  header.mutable_header()->mutable_parameters()->add_scale(1);
  header.mutable_header()->mutable_parameters()->add_zero_point(0);
  header.mutable_header()->set_dtype(v1::DATA_TYPE_FLOAT64);
  header.mutable_header()->add_shape(int64_t{1} << 26);
  ASSERT_TRUE(stream->Write(header));
  // 64 bytes of reals for a bit: more than any window of flow control holds.
  v1::DequantizeStreamRequest codes;
  codes.set_codes(std::string(1 << 20, '\0'));
  int sent = 0;
  while (sent < 8 && stream->Write(codes)) ++sent;
  // The server ends the stream though nothing has been read. What it had sent
  // by then is still there; behind it comes the status.
  absl::SleepFor(absl::Seconds(1));
  v1::DequantizeStreamResponse response;
  while (stream->Read(&response)) {
  }
  const grpc::Status status = stream->Finish();
  EXPECT_EQ(status.error_code(), StatusCode::DEADLINE_EXCEEDED);
  EXPECT_THAT(status.error_message(), HasSubstr("for 300ms"));
}

TEST_F(CallTest, GoesOnWhileItsClientDoes) {
  Start(absl::Seconds(2), kRoomForStreams);
  const auto stub = v1::CalibrationService::NewStub(channel_);
  grpc::ClientContext context;
  v1::ObserveResponse response;
  const auto stream = stub->Observe(&context, &response);
  v1::ObserveRequest request;
  request.mutable_tensor()->add_shape(1);
  request.mutable_tensor()->add_values(1);
  // Twice the limit in all, a quarter of it in between.
  for (int i = 0; i < 8; ++i) {
    ASSERT_TRUE(stream->Write(request)) << i;
    absl::SleepFor(absl::Milliseconds(500));
  }
  stream->WritesDone();
  const grpc::Status status = stream->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST_F(CallTest, IsRefusedIfCompressed) {
  Start(absl::Seconds(60), kRoomForTwo);
  for (const grpc_compression_algorithm algorithm :
       {GRPC_COMPRESS_GZIP, GRPC_COMPRESS_DEFLATE}) {
    OpenCall call(*channel_, kQuantize, algorithm);
    call.Send(Request());
    EXPECT_EQ(call.Finish().error_code(), StatusCode::UNIMPLEMENTED);
  }
}

TEST_F(CallTest, ReturnsItsRequestId) {
  Start(absl::Seconds(60), kRoomForTwo);
  OpenCall named(*channel_, kQuantize, GRPC_COMPRESS_NONE,
                 {{"x-request-id", "job-7"}});
  named.Send(Request());
  EXPECT_TRUE(named.Finish().ok());
  EXPECT_EQ(Trailer(named, "x-request-id"), "job-7");

  OpenCall refused(*channel_, kQuantize, GRPC_COMPRESS_NONE,
                   {{"x-request-id", "not an identifier"}});
  refused.Send("\xff");
  EXPECT_FALSE(refused.Finish().ok());
  EXPECT_EQ(Trailer(refused, "x-request-id").size(), 15);
}

TEST_F(CallTest, SaysWhetherToTryAgain) {
  Start(absl::Seconds(60), kRoomForTwo);
  OpenCall malformed(*channel_, kQuantize);
  malformed.Send("\xff");
  EXPECT_EQ(malformed.Finish().error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Trailer(malformed, "grpc-retry-pushback-ms"), "-1");

  // Two fit, and none may wait.
  OpenCall first(*channel_, kQuantize);
  OpenCall second(*channel_, kQuantize);
  const absl::Time patience = absl::Now() + absl::Seconds(30);
  while (absl::Now() < patience) {
    OpenCall third(*channel_, kQuantize);
    third.Send(Request());
    const grpc::Status status = third.Finish();
    if (status.ok()) continue;  // the others have not arrived yet
    EXPECT_EQ(status.error_code(), StatusCode::RESOURCE_EXHAUSTED);
    const int milliseconds =
        std::stoi(Trailer(third, "grpc-retry-pushback-ms"));
    EXPECT_GE(milliseconds, 50);
    EXPECT_LE(milliseconds, 150);
    return;
  }
  FAIL() << "never refused";
}

}  // namespace
}  // namespace halfstep

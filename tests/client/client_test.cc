// The client against a server of the test's own, which answers as it is told.
#include "client/client.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/call_status.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "tests/temporary_folder.h"

namespace halfstep {
namespace {

using grpc::ServerContext;
using grpc::Status;
using grpc::StatusCode;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using testing::HasSubstr;

// Refuses the first `failures` calls of each method with `failure`, then echoes
// as much of the request as shows that it arrived.
class ScriptedService : public v1::QuantizationService::Service {
 public:
  std::atomic<int> calls = 0;
  std::atomic<int> failures = 0;
  Status failure = Status(StatusCode::UNAVAILABLE, "not now");
  // What a failure says about trying again, in ms; empty: nothing.
  std::string pushback;
  absl::Duration delay;

 private:
  Status Answer(ServerContext* context) {
    absl::SleepFor(delay);
    if (calls++ >= failures) return Status::OK;
    if (!pushback.empty()) {
      context->AddTrailingMetadata("grpc-retry-pushback-ms", pushback);
    }
    return failure;
  }

  Status Quantize(ServerContext* context, const v1::QuantizeRequest* request,
                  v1::QuantizeResponse* response) override {
    response->mutable_tensor()->set_codes(request->tensor().data());
    return Answer(context);
  }
  Status Dequantize(ServerContext* context,
                    const v1::DequantizeRequest* request,
                    v1::DequantizeResponse* response) override {
    response->mutable_tensor()->set_data(request->tensor().codes());
    return Answer(context);
  }
  Status FakeQuantize(ServerContext* context,
                      const v1::FakeQuantizeRequest* request,
                      v1::FakeQuantizeResponse* response) override {
    *response->mutable_tensor() = request->tensor();
    return Answer(context);
  }
  Status MeasureError(ServerContext* context,
                      const v1::MeasureErrorRequest* request,
                      v1::MeasureErrorResponse* response) override {
    response->mutable_error()->set_element_count(
        request->original().data().size());
    return Answer(context);
  }
  Status GetServerInfo(ServerContext* context, const v1::GetServerInfoRequest*,
                       v1::GetServerInfoResponse* response) override {
    response->set_version("scripted");
    return Answer(context);
  }
};

class ScriptedHealth : public grpc::health::v1::Health::Service {
 public:
  std::atomic<HealthCheckResponse::ServingStatus> status =
      HealthCheckResponse::SERVING;

 private:
  Status Check(ServerContext*, const HealthCheckRequest*,
               HealthCheckResponse* response) override {
    response->set_status(status);
    return Status::OK;
  }
};

class ClientTest : public testing::Test {
 protected:
  ClientTest() {
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(-1);
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port_);
    builder.AddListeningPort("unix:" + folder_.Path("socket"),
                             grpc::InsecureServerCredentials());
    builder.RegisterService(&service_);
    builder.RegisterService(&health_);
    server_ = builder.BuildAndStart();
  }

  std::string address() const { return absl::StrCat("127.0.0.1:", port_); }

  std::unique_ptr<Client> Connect(const ClientOptions& options = {}) const {
    absl::StatusOr<std::unique_ptr<Client>> client =
        Client::Connect(address(), options);
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }

  const TemporaryFolder folder_;
  ScriptedService service_;
  ScriptedHealth health_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

v1::QuantizeRequest RequestOf(size_t bytes) {
  v1::QuantizeRequest request;
  request.mutable_tensor()->set_data(std::string(bytes, 'x'));
  return request;
}

TEST_F(ClientTest, EachMethodArrivesAndReturns) {
  const std::unique_ptr<Client> client = Connect();
  EXPECT_EQ(client->Quantize(RequestOf(3))->tensor().codes(), "xxx");
  v1::DequantizeRequest dequantize;
  dequantize.mutable_tensor()->set_codes("abc");
  EXPECT_EQ(client->Dequantize(dequantize)->tensor().data(), "abc");
  v1::FakeQuantizeRequest fake;
  fake.mutable_tensor()->add_values(7);
  EXPECT_EQ(client->FakeQuantize(fake)->tensor().values(0), 7);
  v1::MeasureErrorRequest measure;
  measure.mutable_original()->set_data("four");
  EXPECT_EQ(client->MeasureError(measure)->error().element_count(), 4u);
  EXPECT_EQ(client->GetServerInfo()->version(), "scripted");
  EXPECT_EQ(client->CheckHealth(), absl::OkStatus());
}

TEST_F(ClientTest, ConnectsToAUnixSocket) {
  auto client = Client::Connect("unix:" + folder_.Path("socket"));
  ASSERT_TRUE(client.ok()) << client.status();
  EXPECT_EQ((*client)->GetServerInfo()->version(), "scripted");
}

TEST_F(ClientTest, ConnectsToANameThatIsResolved) {
  auto client = Client::Connect(absl::StrCat("dns:///localhost:", port_));
  ASSERT_TRUE(client.ok()) << client.status();
  EXPECT_EQ((*client)->GetServerInfo()->version(), "scripted");
}

// gRPC's own limit is 4 MiB.
TEST_F(ClientTest, LargeMessagesGoBothWays) {
  constexpr size_t kBytes = 16 << 20;
  const auto response = Connect()->Quantize(RequestOf(kBytes));
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->tensor().codes().size(), kBytes);
}

TEST_F(ClientTest, AnUnavailableServerIsTriedAgain) {
  service_.failures = 1;
  // 1 MiB is four times gRPC's default retry buffer: see the next test.
  const auto response = Connect()->Quantize(RequestOf(1 << 20));
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(service_.calls, 2);
}

// What the previous test guards against: the same call over a channel with the
// same service config, but gRPC's own buffer, is not retried.
TEST_F(ClientTest, GrpcsOwnBufferWouldTurnRetriesOff) {
  service_.failures = 1;
  grpc::ChannelArguments arguments;
  arguments.SetServiceConfigJSON(R"({"methodConfig": [{
    "name": [{"service": "halfstep.v1.QuantizationService"}],
    "retryPolicy": {"maxAttempts": 5, "initialBackoff": "0.1s",
                    "maxBackoff": "2s", "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"]}}]})");
  Client client(grpc::CreateCustomChannel(
      address(), grpc::InsecureChannelCredentials(), arguments));
  EXPECT_EQ(client.Quantize(RequestOf(1 << 20)).status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(service_.calls, 1);
  // A small call fits, so the policy itself is at work.
  service_.calls = 0;
  EXPECT_TRUE(client.Quantize(RequestOf(1 << 10)).ok());
  EXPECT_EQ(service_.calls, 2);
}

TEST_F(ClientTest, AttemptsAreCounted) {
  service_.failures = 100;
  const auto response =
      Connect({.attempts = 3, .credentials = nullptr})->GetServerInfo();
  EXPECT_EQ(response.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(response.status().message(), "not now");
  EXPECT_EQ(service_.calls, 3);
}

TEST_F(ClientTest, OneAttemptIsNoRetry) {
  service_.failures = 1;
  const auto response =
      Connect({.attempts = 1, .credentials = nullptr})->GetServerInfo();
  EXPECT_EQ(response.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(service_.calls, 1);
}

TEST_F(ClientTest, ACallOverALimitIsNotTriedAgain) {
  service_.failures = 1;
  service_.failure = Status(StatusCode::RESOURCE_EXHAUSTED, "too large");
  service_.pushback = "-1";
  EXPECT_EQ(Connect()->GetServerInfo().status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(service_.calls, 1);
}

// The client's own backoff would be over after at most 0.12 s.
TEST_F(ClientTest, ABusyServerIsTriedAgainWhenItSaysSo) {
  service_.failures = 1;
  service_.failure = Status(StatusCode::RESOURCE_EXHAUSTED, "busy");
  service_.pushback = "400";
  const absl::Time start = absl::Now();
  EXPECT_EQ(Connect()->GetServerInfo()->version(), "scripted");
  // A timer may fire a millisecond early.
  EXPECT_GE(absl::Now() - start, absl::Milliseconds(399));
  EXPECT_EQ(service_.calls, 2);
}

TEST_F(ClientTest, OtherErrorsAreNotTriedAgain) {
  service_.failures = 1;
  for (const StatusCode code :
       {StatusCode::INVALID_ARGUMENT, StatusCode::INTERNAL,
        StatusCode::UNAUTHENTICATED, StatusCode::DEADLINE_EXCEEDED}) {
    service_.calls = 0;
    service_.failure = Status(code, "no");
    EXPECT_FALSE(Connect()->GetServerInfo().ok());
    EXPECT_EQ(service_.calls, 1);
  }
}

// 1000 marks, of which 500 are left after 500 failures: 100 calls of 5
// attempts each. From then on a call is one attempt.
TEST_F(ClientTest, RetriesAreThrottledWhenEverythingFails) {
  service_.failures = 1'000'000;
  service_.pushback = "1";
  const std::unique_ptr<Client> client = Connect();
  constexpr int kCalls = 200;
  for (int call = 0; call < kCalls; ++call) {
    EXPECT_EQ(client->GetServerInfo().status().code(),
              absl::StatusCode::kUnavailable);
  }
  EXPECT_GE(service_.calls, 500 + (kCalls - 100));
  EXPECT_LE(service_.calls, 500 + kCalls);
}

TEST_F(ClientTest, AnErrorKeepsTheFieldAtFault) {
  google::rpc::BadRequest detail;
  detail.add_field_violations()->set_field("spec.bits");
  google::rpc::Status envelope;
  envelope.add_details()->PackFrom(detail);
  service_.failures = 1;
  service_.failure = Status(StatusCode::INVALID_ARGUMENT, "spec.bits: 40",
                            envelope.SerializeAsString());
  const absl::Status status = Connect()->Quantize(RequestOf(1)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "spec.bits: 40");
  ASSERT_EQ(FieldViolations(status).size(), 1u);
  EXPECT_EQ(FieldViolations(status)[0].field, "spec.bits");
}

TEST_F(ClientTest, ASlowServerRunsIntoTheDeadline) {
  service_.delay = absl::Seconds(3);
  const absl::Time start = absl::Now();
  const auto response =
      Connect({.timeout = absl::Milliseconds(200), .credentials = nullptr})
          ->GetServerInfo();
  EXPECT_EQ(response.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_LT(absl::Now() - start, absl::Seconds(2.5));
}

// As while it shuts down.
TEST_F(ClientTest, AServerThatDoesNotServeIsUnavailable) {
  health_.status = HealthCheckResponse::NOT_SERVING;
  const absl::Status status = Connect()->CheckHealth();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("NOT_SERVING"));
}

TEST(Client, NoServerIsUnavailable) {
  const TemporaryFolder folder;
  auto client = Client::Connect("unix:" + folder.Path("nobody"));
  ASSERT_TRUE(client.ok()) << client.status();
  const absl::Time start = absl::Now();
  EXPECT_EQ((*client)->GetServerInfo().status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_LT(absl::Now() - start, absl::Seconds(30));
}

TEST(Client, AddressesWithoutAPortAreRefused) {
  for (const char* address : {"", "localhost", "localhost:", ":50051", "unix:",
                              "localhost:0", "localhost:65536", "host:http"}) {
    SCOPED_TRACE(address);
    EXPECT_EQ(Client::Connect(address).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
  EXPECT_TRUE(Client::Connect("[::1]:50051").ok());
}

TEST(Client, AttemptsOutOfRangeAreRefused) {
  for (const int attempts : {-1, 0, 6}) {
    const ClientOptions options = {.attempts = attempts,
                                   .credentials = nullptr};
    EXPECT_EQ(Client::Connect("localhost:1", options).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace halfstep

// A server as a whole, over sockets.
#include "server/server.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "halfstep/v1/quantization.grpc.pb.h"
#include "tests/server/raw_client.h"

namespace halfstep {
namespace {

using ::grpc::StatusCode;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr char kQuantize[] = "/halfstep.v1.QuantizationService/Quantize";

ServerOptions Quiet(std::vector<std::string> listen = {"127.0.0.1:0"}) {
  ServerOptions options;
  options.listen = std::move(listen);
  options.threads = 2;
  options.log_level = "off";
  return options;
}

// Room for just one call at a time, that waits for its message.
ServerOptions Narrow(size_t waiting_max) {
  ServerOptions options = Quiet();
  options.call.max_message_bytes = 1 << 20;
  // A call enters with the largest message; two do not fit.
  options.load.max_bytes_in_flight = 2 * ((1 << 20) + kFieldBytesAllowance);
  options.load.max_waiting_calls = waiting_max;
  return options;
}

std::unique_ptr<Server> StartOrDie(const ServerOptions& options) {
  absl::StatusOr<std::unique_ptr<Server>> server = Server::Start(options);
  EXPECT_TRUE(server.ok()) << server.status();
  return *std::move(server);
}

std::shared_ptr<grpc::Channel> ChannelTo(const Server& server, size_t i = 0) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  // Channels of one process would share a connection otherwise.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(
      server.addresses()[i], grpc::InsecureChannelCredentials(), arguments);
}

// `count` reals of which the i-th has the code i mod 256.
v1::QuantizeRequest Ramp(size_t count) {
  std::vector<float> reals(count);
  for (size_t i = 0; i < count; ++i) {
    reals[i] = static_cast<float>(i % 256) / 255.0f;
  }
  v1::QuantizeRequest request;
  request.mutable_parameters()->add_scale(1.0 / 255);
  request.mutable_parameters()->add_zero_point(0);
  request.mutable_tensor()->set_dtype(v1::DATA_TYPE_FLOAT32);
  request.mutable_tensor()->add_shape(static_cast<int64_t>(count));
  request.mutable_tensor()->set_data(reals.data(), count * sizeof(float));
  return request;
}

bool IsRampCodes(const std::string& codes, size_t count) {
  if (codes.size() != count) return false;
  for (size_t i = 0; i < count; ++i) {
    if (static_cast<uint8_t>(codes[i]) != i % 256) return false;
  }
  return true;
}

std::string ReasonOf(const grpc::Status& status) {
  google::rpc::Status details;
  EXPECT_TRUE(details.ParseFromString(status.error_details()));
  google::rpc::ErrorInfo info;
  for (const auto& any : details.details()) {
    if (any.UnpackTo(&info)) return info.reason();
  }
  return "";
}

void ExpectServes(const std::shared_ptr<grpc::Channel>& channel, size_t count) {
  const auto stub = v1::QuantizationService::NewStub(channel);
  grpc::ClientContext context;
  v1::QuantizeResponse response;
  const grpc::Status status = stub->Quantize(&context, Ramp(count), &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_TRUE(IsRampCodes(response.tensor().codes(), count));
}

TEST(Server, ServesTcpUnixSocketsAndItsOwnProcess) {
  const std::string path =
      absl::StrCat("/tmp/halfstep_test_", getpid(), ".sock");
  const auto server =
      StartOrDie(Quiet({"127.0.0.1:0", "unix:" + path, "[::1]:0"}));
  ASSERT_EQ(server->addresses().size(), 3u);
  EXPECT_THAT(server->addresses()[0], StartsWith("127.0.0.1:"));
  EXPECT_NE(server->addresses()[0], "127.0.0.1:0");
  EXPECT_EQ(server->addresses()[1], "unix:" + path);
  // From what is computed where it arrives to what comes in many slices.
  for (const size_t count : {size_t{1}, size_t{1000}, size_t{5'000'003}}) {
    SCOPED_TRACE(count);
    for (size_t i = 0; i < 3; ++i) ExpectServes(ChannelTo(*server, i), count);
    ExpectServes(server->InProcessChannel(), count);
  }
}

TEST(Server, AnswersAShortRequestAtLength) {
  const auto server = StartOrDie(Quiet());
  const auto stub = v1::QuantizationService::NewStub(ChannelTo(*server));
  // A pair for each of 2^20 rows without an element: scale 1, zero point 0.
  v1::QuantizeRequest request;
  request.mutable_spec()->mutable_granularity()->set_axis(0);
  request.mutable_tensor()->set_dtype(v1::DATA_TYPE_FLOAT32);
  request.mutable_tensor()->add_shape(1 << 20);
  request.mutable_tensor()->add_shape(0);
  grpc::ClientContext context;
  v1::QuantizeResponse response;
  const grpc::Status status = stub->Quantize(&context, request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.tensor().parameters().scale_size(), 1 << 20);
  EXPECT_EQ(response.tensor().parameters().scale(12345), 1);
}

TEST(Server, NeedsNoAddress) {
  const auto server = StartOrDie(Quiet({}));
  EXPECT_TRUE(server->addresses().empty());
  ExpectServes(server->InProcessChannel(), 10);
}

TEST(Server, SaysWhichAddressCannotBeBound) {
  const auto first = StartOrDie(Quiet());
  const std::string taken = first->addresses()[0];
  const auto second = Server::Start(Quiet({"127.0.0.1:0", taken}));
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()), StartsWith(taken + ": "));
}

TEST(Server, RefusesOptionsThatContradictThemselves) {
  ServerOptions options = Quiet();
  options.load.max_bytes_in_flight = 1;
  EXPECT_EQ(Server::Start(options).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(Server, PublishesItsLimits) {
  ServerOptions options = Quiet();
  options.call.max_message_bytes = 1 << 20;
  options.load.max_bytes_in_flight = 1 << 30;
  const auto server = StartOrDie(options);
  const auto stub = v1::QuantizationService::NewStub(ChannelTo(*server));
  grpc::ClientContext context;
  v1::GetServerInfoResponse info;
  ASSERT_TRUE(
      stub->GetServerInfo(&context, v1::GetServerInfoRequest(), &info).ok());
  EXPECT_EQ(info.version(), "0.1.0");
  EXPECT_EQ(info.worker_threads(), 2u);
  EXPECT_EQ(info.numerics_version(), 1u);
  EXPECT_EQ(info.max_message_bytes(), 1u << 20);
  EXPECT_EQ(info.max_bytes_in_flight(), 1u << 30);
  EXPECT_EQ(info.max_parameter_pairs(), 4'194'304u);
  EXPECT_EQ(info.max_values(), 65'536u);
  EXPECT_EQ(info.max_calibration_summaries(), 4'096u);
  EXPECT_FALSE(info.simd_target().empty());
}

TEST(Server, RefusesWhatCannotBeParsedOnEveryMethod) {
  const auto server = StartOrDie(Quiet());
  const auto channel = ChannelTo(*server);
  for (const char* method : {"Quantize", "Dequantize", "FakeQuantize",
                             "MeasureError", "GetServerInfo"}) {
    SCOPED_TRACE(method);
    const grpc::Status status = CallWithBytes(
        *channel, absl::StrCat("/halfstep.v1.QuantizationService/", method),
        "\xff\xff", nullptr);
    EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
    EXPECT_THAT(status.error_message(),
                StartsWith("request: cannot be parsed"));
    EXPECT_EQ(ReasonOf(status), "MALFORMED_MESSAGE");
  }
}

TEST(Server, SaysWhatItDoesNotServe) {
  const auto server = StartOrDie(Quiet());
  const auto channel = ChannelTo(*server);
  const grpc::Status unknown = CallWithBytes(
      *channel, "/halfstep.v1.QuantizationService/Frobnicate", "", nullptr);
  EXPECT_EQ(unknown.error_code(), StatusCode::UNIMPLEMENTED);
}

TEST(Server, RefusesACallWithoutAMessage) {
  const auto server = StartOrDie(Quiet());
  const auto channel = ChannelTo(*server);
  const grpc::Status status = OpenCall(*channel, kQuantize).Finish();
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), StartsWith("request: no message; "));
}

TEST(Server, AnswersTheFirstOfTwoMessages) {
  const auto server = StartOrDie(Quiet());
  const auto channel = ChannelTo(*server);
  OpenCall call(*channel, kQuantize);
  EXPECT_TRUE(call.Send(Ramp(10).SerializeAsString()));
  call.Send("\xff");
  const grpc::Status status = call.Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST(Server, RefusesWhatIsTooLong) {
  ServerOptions options = Quiet();
  options.call.max_message_bytes = 1 << 20;
  const auto server = StartOrDie(options);
  const auto channel = ChannelTo(*server);
  // A request that is just within the limit, and one past it.
  ExpectServes(channel, (1 << 20) / sizeof(float));
  const grpc::Status too_long =
      CallWithBytes(*channel, kQuantize, std::string(2 << 20, 'x'), nullptr);
  EXPECT_EQ(too_long.error_code(), StatusCode::RESOURCE_EXHAUSTED);

  // A short request whose reply would be too long.
  v1::DequantizeRequest request;
  v1::QuantizedTensor& tensor = *request.mutable_tensor();
  tensor.mutable_parameters()->mutable_spec()->set_bits(1);
  tensor.mutable_parameters()->mutable_spec()->set_packing(v1::PACKING_DENSE);
  tensor.mutable_parameters()->add_scale(1);
  tensor.mutable_parameters()->add_zero_point(0);
  tensor.set_dtype(v1::DATA_TYPE_FLOAT32);
  tensor.add_shape(1 << 20);
  tensor.set_codes(std::string((1 << 20) / 8, '\0'));
  grpc::ClientContext context;
  v1::DequantizeResponse response;
  const grpc::Status status =
      v1::QuantizationService::NewStub(channel)->Dequantize(&context, request,
                                                            &response);
  EXPECT_EQ(status.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(status.error_message(),
            "tensor.shape: a reply of 4194304 bytes; must be at most "
            "max_message_bytes, 1048576");
  EXPECT_EQ(ReasonOf(status), "LIMIT_EXCEEDED");
}

bool IsServing(const std::shared_ptr<grpc::Channel>& channel,
               const std::string& service) {
  grpc::ClientContext context;
  grpc::health::v1::HealthCheckRequest request;
  request.set_service(service);
  grpc::health::v1::HealthCheckResponse response;
  EXPECT_TRUE(grpc::health::v1::Health::NewStub(channel)
                  ->Check(&context, request, &response)
                  .ok());
  return response.status() == grpc::health::v1::HealthCheckResponse::SERVING;
}

// Waits until the server has seen all that was sent on `channel`: what is sent
// on a connection later arrives later. The rest is for threads to take it up.
void AwaitArrival(const std::shared_ptr<grpc::Channel>& channel) {
  IsServing(channel, "");
  absl::SleepFor(absl::Milliseconds(100));
}

TEST(Server, ReadsNothingBeforeItIsAdmitted) {
  const auto server = StartOrDie(Narrow(/*waiting_max=*/1));
  const auto channel = ChannelTo(*server);
  OpenCall first(*channel, kQuantize);
  OpenCall second(*channel, kQuantize);
  AwaitArrival(channel);
  // Both have their tickets, and wait for a message. The third has sent one,
  // and waits for a ticket; the fourth finds no place to wait.
  OpenCall third(*channel, kQuantize);
  EXPECT_TRUE(third.Send(Ramp(10).SerializeAsString()));
  AwaitArrival(channel);
  const grpc::Status fourth = OpenCall(*channel, kQuantize).Finish();
  EXPECT_EQ(fourth.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(ReasonOf(fourth), "SERVER_BUSY");
  first.Send(Ramp(10).SerializeAsString());
  EXPECT_TRUE(first.Finish().ok());
  EXPECT_TRUE(third.Finish().ok());
}

TEST(Server, ForgetsWhoIsCancelledWhileWaiting) {
  const auto server = StartOrDie(Narrow(/*waiting_max=*/1));
  const auto channel = ChannelTo(*server);
  OpenCall first(*channel, kQuantize);
  OpenCall second(*channel, kQuantize);
  AwaitArrival(channel);
  for (int i = 0; i < 3; ++i) {
    // Takes the one place to wait, and gives it back.
    {
      const OpenCall cancelled(*channel, kQuantize);
      AwaitArrival(channel);
    }
    AwaitArrival(channel);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::milliseconds(100));
    v1::QuantizeResponse response;
    const grpc::Status late =
        v1::QuantizationService::NewStub(channel)->Quantize(&context, Ramp(10),
                                                            &response);
    EXPECT_EQ(late.error_code(), StatusCode::DEADLINE_EXCEEDED);
    AwaitArrival(channel);
  }
  second.Send(Ramp(10).SerializeAsString());
  EXPECT_TRUE(second.Finish().ok());
  ExpectServes(channel, 10);
}

TEST(Server, GivesEveryTicketBack) {
  const auto server = StartOrDie(Narrow(/*waiting_max=*/64));
  const auto channel = ChannelTo(*server);
  const std::string good = Ramp(100'000).SerializeAsString();
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&channel, &good, i] {
      for (int round = 0; round < 30; ++round) {
        switch ((i + round) % 4) {
          case 0:
            EXPECT_EQ(CallWithBytes(*channel, kQuantize, good, nullptr)
                          .error_message(),
                      "");
            break;
          case 1:  // cancelled before, while or after it is read
          {
            OpenCall(*channel, kQuantize).Send(good);
          } break;
          case 2:
            EXPECT_FALSE(
                CallWithBytes(*channel, kQuantize, "\xff", nullptr).ok());
            break;
          default:
            EXPECT_FALSE(OpenCall(*channel, kQuantize).Finish().ok());
            break;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  // Not one ticket is missing: two calls fit at once, as at first.
  OpenCall first(*channel, kQuantize);
  AwaitArrival(channel);
  ExpectServes(channel, 100'000);
}

TEST(Server, FinishesWhatIsInFlightAndRefusesWhatIsNew) {
  const auto server = StartOrDie(Quiet());
  const auto channel = ChannelTo(*server);
  EXPECT_TRUE(IsServing(channel, ""));
  EXPECT_TRUE(IsServing(channel, "halfstep.v1.QuantizationService"));

  OpenCall in_flight(*channel, kQuantize);
  AwaitArrival(channel);
  std::thread shutdown(
      [&server] { server->Shutdown(absl::InfiniteDuration()); });
  const absl::Time patience = absl::Now() + absl::Seconds(30);
  while (IsServing(channel, "") && absl::Now() < patience) {
    absl::SleepFor(absl::Milliseconds(10));
  }
  AwaitArrival(channel);
  EXPECT_FALSE(IsServing(channel, ""));
  EXPECT_FALSE(IsServing(channel, "halfstep.v1.QuantizationService"));
  const grpc::Status refused = OpenCall(*channel, kQuantize).Finish();
  EXPECT_EQ(refused.error_code(), StatusCode::UNAVAILABLE);
  EXPECT_EQ(ReasonOf(refused), "SHUTTING_DOWN");

  in_flight.Send(Ramp(10).SerializeAsString());
  EXPECT_TRUE(in_flight.Finish().ok());
  shutdown.join();
}

TEST(Server, CancelsWhatDoesNotFinishInTime) {
  const auto server = StartOrDie(Quiet());
  const auto channel = ChannelTo(*server);
  OpenCall stuck(*channel, kQuantize);
  AwaitArrival(channel);
  const absl::Time begin = absl::Now();
  server->Shutdown(absl::Milliseconds(200));
  EXPECT_GE(absl::Now() - begin, absl::Milliseconds(200));
  EXPECT_FALSE(stuck.Finish().ok());
}

// Every call gets one whole right answer, or UNAVAILABLE, whatever the moment
// at which the server is told to stop.
TEST(Server, LosesNoAnswerWhenItStopsUnderLoad) {
  for (int round = 0; round < 5; ++round) {
    const auto server = StartOrDie(Quiet());
    std::atomic<int> answered = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 6; ++i) {
      threads.emplace_back([&server, &answered, i] {
        const auto stub = v1::QuantizationService::NewStub(ChannelTo(*server));
        const size_t count = i % 2 == 0 ? 1'000 : 300'000;
        const v1::QuantizeRequest request = Ramp(count);
        while (true) {
          grpc::ClientContext context;
          v1::QuantizeResponse response;
          const grpc::Status status =
              stub->Quantize(&context, request, &response);
          if (!status.ok()) {
            EXPECT_EQ(status.error_code(), StatusCode::UNAVAILABLE)
                << status.error_message();
            return;
          }
          EXPECT_TRUE(IsRampCodes(response.tensor().codes(), count));
          ++answered;
        }
      });
    }
    while (answered < 100) absl::SleepFor(absl::Milliseconds(1));
    server->Shutdown(absl::InfiniteDuration());
    for (std::thread& thread : threads) thread.join();
  }
}

}  // namespace
}  // namespace halfstep

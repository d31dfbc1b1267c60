// Health checks against a server of gRPC, over a socket and in its process.
#include "server/api/health_service.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "server/call/event_loop.h"
#include "tests/server/raw_client.h"

namespace halfstep {
namespace {

using ::grpc::StatusCode;
using ::grpc::health::v1::Health;
using ::grpc::health::v1::HealthCheckRequest;
using ::grpc::health::v1::HealthCheckResponse;

constexpr char kCheck[] = "/grpc.health.v1.Health/Check";
constexpr char kWatch[] = "/grpc.health.v1.Health/Watch";
constexpr auto kServing = HealthCheckResponse::SERVING;
constexpr auto kNotServing = HealthCheckResponse::NOT_SERVING;
constexpr auto kServiceUnknown = HealthCheckResponse::SERVICE_UNKNOWN;
// For what must come at all.
constexpr absl::Duration kLong = absl::Seconds(60);

// A request's bytes: field 1, `name`, of at most 127 bytes.
std::string RequestFor(const std::string& name) {
  return absl::StrCat("\x0a", std::string(1, static_cast<char>(name.size())),
                      name);
}

class Watcher {
 public:
  Watcher(Health::Stub& stub, const std::string& service) {
    context_.set_deadline(std::chrono::system_clock::now() +
                          absl::ToChronoSeconds(kLong));
    HealthCheckRequest request;
    request.set_service(service);
    reader_ = stub.Watch(&context_, request);
  }

  // Nothing once the call has ended.
  std::optional<HealthCheckResponse::ServingStatus> Next() {
    HealthCheckResponse response;
    if (!reader_->Read(&response)) return std::nullopt;
    return response.status();
  }
  void Cancel() { context_.TryCancel(); }
  // After Next has returned nothing.
  grpc::Status Finish() { return reader_->Finish(); }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<HealthCheckResponse>> reader_;
};

// Over a socket, or else in its process.
class HealthServiceTest : public testing::TestWithParam<bool> {
 protected:
  HealthServiceTest() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port);
    loop_ = std::make_unique<EventLoop>(builder);
    builder.RegisterService(&health_);
    server_ = builder.BuildAndStart();
    loop_->Start(2);
    health_.Open(*loop_);
    channel_ = GetParam()
                   ? grpc::CreateChannel(absl::StrCat("127.0.0.1:", port),
                                         grpc::InsecureChannelCredentials())
                   : server_->InProcessChannel(grpc::ChannelArguments());
    stub_ = Health::NewStub(channel_);
  }

  ~HealthServiceTest() override { Stop(); }

  void Stop() {
    if (server_ == nullptr) return;
    server_->Shutdown(std::chrono::system_clock::now());
    loop_->Stop();
    server_ = nullptr;
  }

  grpc::Status Check(const std::string& service,
                     HealthCheckResponse* response) {
    grpc::ClientContext context;
    HealthCheckRequest request;
    request.set_service(service);
    return stub_->Check(&context, request, response);
  }

  // UNKNOWN, which is never sent, after an error.
  HealthCheckResponse::ServingStatus StatusOf(const std::string& service) {
    HealthCheckResponse response;
    const grpc::Status status = Check(service, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.status();
  }

  void ExpectRefused(const grpc::Status& status, const std::string& message) {
    EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(status.error_message(), message);
  }

  HealthService health_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<Health::Stub> stub_;
};

INSTANTIATE_TEST_SUITE_P(, HealthServiceTest, testing::Bool(),
                         [](const auto& over) {
                           return over.param ? "Socket" : "InProcess";
                         });

TEST_P(HealthServiceTest, ChecksWhatIsKnown) {
  EXPECT_EQ(StatusOf(""), kNotServing);
  health_.SetServingStatus("one", true);
  EXPECT_EQ(StatusOf("one"), kServing);
  EXPECT_EQ(StatusOf(""), kNotServing);
  health_.SetServingStatus("two", false);
  EXPECT_EQ(StatusOf("two"), kNotServing);
  health_.SetServingStatus(true);
  for (const char* service : {"", "one", "two"}) {
    EXPECT_EQ(StatusOf(service), kServing) << service;
  }
  health_.SetServingStatus("one", false);
  EXPECT_EQ(StatusOf("one"), kNotServing);
  EXPECT_EQ(StatusOf("two"), kServing);
}

TEST_P(HealthServiceTest, DoesNotKnowWhatWasNeverSet) {
  health_.SetServingStatus(true);
  HealthCheckResponse response;
  // The longest name, too.
  for (const std::string& service : {std::string("?"), std::string(200, 'a')}) {
    const grpc::Status status = Check(service, &response);
    EXPECT_EQ(status.error_code(), StatusCode::NOT_FOUND);
    EXPECT_EQ(status.error_message(), "service name unknown");
  }
}

TEST_P(HealthServiceTest, RefusesWhatIsNoRequest) {
  const std::string truncated("\x0a\x05one", 5);
  const std::string not_utf8("\x0a\x01\xff", 3);
  for (const char* method : {kCheck, kWatch}) {
    SCOPED_TRACE(method);
    ExpectRefused(CallWithBytes(*channel_, method, truncated, nullptr),
                  "could not parse request");
    ExpectRefused(CallWithBytes(*channel_, method, not_utf8, nullptr),
                  "could not parse request");
    OpenCall none(*channel_, method);
    ExpectRefused(none.Finish(), "request: no message; must be one message");
  }
}

TEST_P(HealthServiceTest, RefusesWhatIsTooLong) {
  HealthCheckResponse response;
  ExpectRefused(Check(std::string(201, 'a'), &response),
                "service: 201 bytes; must be at most 200");
  // A tag and two bytes of length stand before the name.
  ExpectRefused(Check(std::string(4093, 'a'), &response),
                "service: 4093 bytes; must be at most 200");
  ExpectRefused(Check(std::string(4094, 'a'), &response),
                "request: 4097 bytes; must be at most 4096");
  Watcher watcher(*stub_, std::string(201, 'a'));
  EXPECT_EQ(watcher.Next(), std::nullopt);
  ExpectRefused(watcher.Finish(), "service: 201 bytes; must be at most 200");
}

TEST_P(HealthServiceTest, AnswersWhoMayStillSend) {
  OpenCall call(*channel_, kCheck);
  ASSERT_TRUE(call.Send(RequestFor("")));
  EXPECT_TRUE(call.Await().ok());
}

TEST_P(HealthServiceTest, SkipsFieldsOfLaterVersions) {
  health_.SetServingStatus("one", true);
  std::string reply;
  // Field 2, a varint.
  ASSERT_TRUE(
      CallWithBytes(*channel_, kCheck, RequestFor("one") + "\x10\x01", &reply)
          .ok());
  EXPECT_EQ(reply, "\x08\x01");  // field 1: SERVING
}

TEST_P(HealthServiceTest, DoesNotList) {
  grpc::ClientContext context;
  grpc::health::v1::HealthListResponse response;
  EXPECT_EQ(stub_->List(&context, {}, &response).error_code(),
            StatusCode::UNIMPLEMENTED);
}

TEST_P(HealthServiceTest, WatchersAreToldOfChanges) {
  Watcher server(*stub_, "");
  Watcher one(*stub_, "one");
  EXPECT_EQ(server.Next(), kNotServing);
  EXPECT_EQ(one.Next(), kServiceUnknown);
  // Of all that are known, to which a watcher adds nothing: "one" would be told
  // of SERVING first.
  health_.SetServingStatus(true);
  EXPECT_EQ(server.Next(), kServing);
  health_.SetServingStatus("one", false);
  EXPECT_EQ(one.Next(), kNotServing);
  health_.SetServingStatus("one", true);
  EXPECT_EQ(one.Next(), kServing);
  health_.SetServingStatus(false);
  EXPECT_EQ(server.Next(), kNotServing);
  EXPECT_EQ(one.Next(), kNotServing);
}

TEST_P(HealthServiceTest, WatchersAreToldEachStatusOnce) {
  Watcher watcher(*stub_, "");
  ASSERT_EQ(watcher.Next(), kNotServing);
  // Often: what is set while a write ends could hide behind the next.
  for (int i = 0; i < 50; ++i) {
    for (const bool serving : {true, false}) {
      for (int again = 0; again < 3; ++again) {
        health_.SetServingStatus("", serving);
        health_.SetServingStatus(serving);
      }
      ASSERT_EQ(watcher.Next(), serving ? kServing : kNotServing);
    }
  }
}

TEST_P(HealthServiceTest, ClientsEndTheirWatch) {
  Watcher cancelled(*stub_, "one");
  Watcher other(*stub_, "one");
  EXPECT_EQ(cancelled.Next(), kServiceUnknown);
  EXPECT_EQ(other.Next(), kServiceUnknown);
  cancelled.Cancel();
  EXPECT_EQ(cancelled.Next(), std::nullopt);
  EXPECT_EQ(cancelled.Finish().error_code(), StatusCode::CANCELLED);
  health_.SetServingStatus("one", true);
  EXPECT_EQ(other.Next(), kServing);
  // Before its request.
  { const OpenCall open(*channel_, kWatch); }
  EXPECT_EQ(StatusOf("one"), kServing);
}

TEST_P(HealthServiceTest, NothingServesAfterItsShutdown) {
  health_.SetServingStatus("one", true);
  Watcher one(*stub_, "one");
  Watcher late(*stub_, "late");
  EXPECT_EQ(one.Next(), kServing);
  EXPECT_EQ(late.Next(), kServiceUnknown);
  health_.Shutdown();
  EXPECT_EQ(one.Next(), kNotServing);
  health_.Shutdown();
  health_.SetServingStatus(true);
  health_.SetServingStatus("one", true);
  health_.SetServingStatus("late", true);
  EXPECT_EQ(late.Next(), kNotServing);
  for (const char* service : {"", "one", "late"}) {
    EXPECT_EQ(StatusOf(service), kNotServing) << service;
  }
  // The streams went on, without a word more, until the server ends them.
  Stop();
  EXPECT_EQ(one.Next(), std::nullopt);
  EXPECT_FALSE(one.Finish().ok());
}

// Changes from several threads under many watchers, while others come and go:
// each watcher ends up with the last status, and never hears one twice.
TEST_P(HealthServiceTest, ManyWatchersOfManyChanges) {
  constexpr int kServices = 3;
  constexpr int kWatchersEach = 8;
  constexpr int kChanges = 2000;
  const auto name = [](int i) { return absl::StrCat("service", i); };

  absl::Mutex mutex;
  std::vector<HealthCheckResponse::ServingStatus> latest(kServices *
                                                         kWatchersEach);
  std::atomic<int> repeated = 0;
  std::vector<std::unique_ptr<Watcher>> watchers;
  std::vector<std::thread> readers;
  for (size_t i = 0; i < latest.size(); ++i) {
    watchers.push_back(std::make_unique<Watcher>(
        *stub_, name(static_cast<int>(i) % kServices)));
    readers.emplace_back([&, i, watcher = watchers.back().get()] {
      while (const auto status = watcher->Next()) {
        const absl::MutexLock lock(&mutex);
        if (latest[i] == *status) ++repeated;
        latest[i] = *status;
      }
    });
  }

  std::atomic<bool> is_over = false;
  std::thread comes_and_goes([&] {
    for (int i = 0; !is_over; ++i) {
      Watcher watcher(*stub_, i % 2 == 0 ? name(i % kServices) : "other");
      if (i % 3 != 0) watcher.Next();
      watcher.Cancel();
      while (watcher.Next().has_value()) {
      }
      watcher.Finish().IgnoreError();
    }
  });
  std::vector<std::thread> setters;
  for (int i = 0; i < kServices; ++i) {
    setters.emplace_back([&, i] {
      for (int change = 0; change < kChanges; ++change) {
        health_.SetServingStatus(name(i), change % 2 == 0);
        if (change % 16 == 0) health_.SetServingStatus(change % 32 == 0);
      }
    });
  }
  for (std::thread& setter : setters) setter.join();
  is_over = true;
  comes_and_goes.join();

  for (int i = 0; i < kServices; ++i) {
    health_.SetServingStatus(name(i), i % 2 == 0);
  }
  const auto all_know = [&] {
    mutex.AssertHeld();
    for (size_t i = 0; i < latest.size(); ++i) {
      if (latest[i] != (i % kServices % 2 == 0 ? kServing : kNotServing)) {
        return false;
      }
    }
    return true;
  };
  {
    const absl::MutexLock lock(&mutex);
    EXPECT_TRUE(mutex.AwaitWithTimeout(absl::Condition(&all_know), kLong / 2));
  }
  Stop();
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(repeated, 0);
  for (const auto& watcher : watchers) EXPECT_FALSE(watcher->Finish().ok());
}

// With the calls in every state: nothing waits for them.
TEST_P(HealthServiceTest, TheServerEndsWatches) {
  Watcher told(*stub_, "");
  EXPECT_EQ(told.Next(), kNotServing);
  Watcher untold(*stub_, "");
  OpenCall open(*channel_, kWatch);
  Stop();
  EXPECT_EQ(told.Next(), std::nullopt);
  EXPECT_FALSE(told.Finish().ok());
  while (untold.Next().has_value()) {
  }
  EXPECT_FALSE(untold.Finish().ok());
  EXPECT_FALSE(open.Await().ok());
}

}  // namespace
}  // namespace halfstep

// Steps against a server that does as it is told.
#include <gmock/gmock.h>
#include <grpcpp/channel.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "client/load/run_step.h"

namespace halfstep::load {
namespace {

// Answers every call with the bytes of its request, after a delay.
class Echo : public grpc::CallbackGenericService {
 public:
  struct Behaviour {
    std::atomic<int64_t> delay_us{0};
    std::atomic<grpc::StatusCode> code{grpc::StatusCode::OK};
    std::atomic<int> in_flight{0};
    std::atomic<int> in_flight_most{0};
    std::atomic<int> calls{0};
  };
  explicit Echo(Behaviour& behaviour) : behaviour_(behaviour) {}

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext*) override {
    return new Call(behaviour_);
  }

 private:
  class Call : public grpc::ServerGenericBidiReactor {
   public:
    explicit Call(Behaviour& behaviour) : behaviour_(behaviour) {
      ++behaviour_.calls;
      const int now = ++behaviour_.in_flight;
      int most = behaviour_.in_flight_most;
      while (now > most &&
             !behaviour_.in_flight_most.compare_exchange_weak(most, now)) {
      }
      StartRead(&message_);
    }
    void OnReadDone(bool ok) override {
      if (!ok) {  // cancelled before it was read; it must still be ended
        --behaviour_.in_flight;
        return Finish(grpc::Status::CANCELLED);
      }
      // Not on gRPC's thread, which others wait for.
      std::thread([this] {
        absl::SleepFor(absl::Microseconds(behaviour_.delay_us.load()));
        --behaviour_.in_flight;
        if (behaviour_.code != grpc::StatusCode::OK) {
          Finish(grpc::Status(behaviour_.code, "told to"));
        } else {
          StartWriteAndFinish(&message_, {}, grpc::Status::OK);
        }
      }).detach();
    }
    void OnDone() override { delete this; }

   private:
    Behaviour& behaviour_;
    grpc::ByteBuffer message_;
  };
  Behaviour& behaviour_;
};

class RunStepTest : public testing::Test {
 protected:
  RunStepTest() : echo_(behaviour_) {
    grpc::ServerBuilder builder;
    builder.RegisterCallbackGenericService(&echo_);
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port_);
    server_ = builder.BuildAndStart();
  }
  ~RunStepTest() override { server_->Shutdown(); }

  static Workload OneCall() {
    grpc::Slice slice("request");
    Variant variant;
    variant.method = "/any/Thing";
    variant.request = grpc::ByteBuffer(&slice, 1);
    variant.request_bytes = slice.size();
    return Workload({variant});
  }

  StepResult Run(const StepOptions& options, const Tick& tick = Always,
                 const Verifier& verify = nullptr) {
    return RunStep(
        OneCall(),
        ConnectChannels("127.0.0.1:" + std::to_string(port_), channels_, {}),
        options, verify, tick);
  }
  static bool Always(const Progress&) { return true; }

  Echo::Behaviour behaviour_;
  Echo echo_;
  int port_ = 0;
  int channels_ = 2;
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(RunStepTest, AClosedLoopKeepsItsCallsInFlight) {
  behaviour_.delay_us = 20'000;
  for (const int threads : {1, 2}) {
    behaviour_.in_flight_most = 0;
    const StepResult result = Run({.concurrency = 5,
                                   .duration = absl::Seconds(1),
                                   .warmup = absl::Milliseconds(100),
                                   .threads = threads});
    EXPECT_EQ(behaviour_.in_flight_most, 5);
    EXPECT_EQ(behaviour_.in_flight, 0);
    EXPECT_FALSE(result.partial());
    EXPECT_EQ(result.calls, result.ok);
    EXPECT_GE(result.latency.min(), 20'000'000);
    // At most 5 calls per 20 ms, and one more at each end.
    EXPECT_LE(result.calls, 5u * 51);
    EXPECT_GT(result.calls, 20u);
    EXPECT_EQ(result.request_bytes, 7 * result.answered);
    EXPECT_EQ(result.reply_bytes, 7 * result.answered);
    EXPECT_EQ(result.late, 0u);
  }
}

TEST_F(RunStepTest, AnOpenLoopSendsWhatIsDueWhateverTheServerDoes) {
  // A closed loop of any size would send fewer: nothing is answered in time.
  behaviour_.delay_us = 400'000;
  const StepResult result = Run({.rate = 200,
                                 .duration = absl::Milliseconds(500),
                                 .warmup = absl::Milliseconds(100)});
  EXPECT_EQ(behaviour_.calls, 120);
  EXPECT_EQ(result.calls, 100u);
  EXPECT_EQ(result.ok, 100u);
  EXPECT_GE(result.latency.min(), 400'000'000);
}

// 10 at a time of 100 ms are 100 a second, of 200 that are due.
TEST_F(RunStepTest, WhatIsDueIsSentHoweverLate) {
  behaviour_.delay_us = 100'000;
  const StepResult result = Run({.rate = 200,
                                 .outstanding_max = 10,
                                 .duration = absl::Seconds(1),
                                 .warmup = absl::ZeroDuration()});
  EXPECT_LE(behaviour_.in_flight_most, 10);
  EXPECT_EQ(result.calls, 200u);
  EXPECT_EQ(result.ok, 200u);
  EXPECT_LE(result.answered, 100u);
  EXPECT_GT(result.late, 150u);
  // The last, due after 1 s, is sent after 1.9 s at the earliest.
  EXPECT_GE(result.latest_ns, 900'000'000);
  EXPECT_GE(result.latency.max(), 1'000'000'000);
}

TEST_F(RunStepTest, WhatCannotBeSentInTimeHasFailed) {
  behaviour_.delay_us = 100'000;
  const StepResult result = Run({.rate = 200,
                                 .outstanding_max = 10,
                                 .duration = absl::Seconds(1),
                                 .warmup = absl::ZeroDuration(),
                                 .timeout = absl::Milliseconds(300)});
  EXPECT_EQ(result.calls, 200u);
  ASSERT_TRUE(result.failures.contains(absl::StatusCode::kDeadlineExceeded));
  EXPECT_EQ(result.latency.count(), 200u);
  EXPECT_GE(result.latency.Quantile(0.99), 300'000'000);
}

TEST_F(RunStepTest, FailuresAreCountedByCode) {
  behaviour_.code = grpc::StatusCode::RESOURCE_EXHAUSTED;
  const StepResult result = Run({.rate = 100,
                                 .duration = absl::Milliseconds(500),
                                 .warmup = absl::ZeroDuration()});
  EXPECT_EQ(result.ok, 0u);
  EXPECT_EQ(result.answered, 0u);
  ASSERT_EQ(result.failures.size(), 1u);
  const auto& [code, failures] = *result.failures.begin();
  EXPECT_EQ(code, absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(failures.count, 50u);
  EXPECT_EQ(failures.first_message, "told to");
}

TEST_F(RunStepTest, AClosedLoopWaitsAfterAFailure) {
  behaviour_.code = grpc::StatusCode::RESOURCE_EXHAUSTED;
  Run({.concurrency = 2,
       .duration = absl::Milliseconds(500),
       .warmup = absl::ZeroDuration()});
  // One per 10 ms each, and the last ones.
  EXPECT_LE(behaviour_.calls, 2 * 51);
  EXPECT_GE(behaviour_.calls, 4);
}

TEST_F(RunStepTest, ATickStopsItAndCancels) {
  behaviour_.delay_us = 5'000'000;
  const absl::Time begin = absl::Now();
  int ticks = 0;
  const StepResult result = Run({.rate = 100,
                                 .duration = absl::Seconds(60),
                                 .warmup = absl::ZeroDuration()},
                                [&ticks](const Progress& progress) {
                                  EXPECT_EQ(progress.so_far().ok, 0u);
                                  return ++ticks < 5;
                                });
  EXPECT_LT(absl::Now() - begin, absl::Seconds(5));
  EXPECT_EQ(result.stop, Stop::kInterrupted);
  EXPECT_GT(result.unfinished, 10u);
  EXPECT_EQ(result.calls, 0u);
  EXPECT_TRUE(result.failures.empty());
  EXPECT_LT(result.seconds, 5);
  // The service must outlive its calls, which do not look at cancellation.
  while (behaviour_.in_flight > 0) absl::SleepFor(absl::Milliseconds(10));
}

TEST_F(RunStepTest, CallsHaveADeadline) {
  behaviour_.delay_us = 500'000;
  const StepResult result = Run({.concurrency = 1,
                                 .duration = absl::Milliseconds(200),
                                 .warmup = absl::ZeroDuration(),
                                 .timeout = absl::Milliseconds(100)});
  ASSERT_TRUE(result.failures.contains(absl::StatusCode::kDeadlineExceeded));
  EXPECT_GE(result.latency.min(), 90'000'000);
  while (behaviour_.in_flight > 0) absl::SleepFor(absl::Milliseconds(10));
}

TEST_F(RunStepTest, AWrongAnswerStopsIt) {
  std::atomic<int> checked{0};
  const StepResult result = Run(
      {.concurrency = 1,
       .duration = absl::Seconds(60),
       .warmup = absl::ZeroDuration(),
       .verify_fraction = 1},
      Always, [&checked](size_t variant, const grpc::ByteBuffer& reply) {
        EXPECT_EQ(variant, 0u);
        EXPECT_EQ(reply.Length(), 7u);
        return ++checked < 5 ? absl::OkStatus() : absl::DataLossError("fifth");
      });
  EXPECT_EQ(result.stop, Stop::kWrongAnswer);
  EXPECT_EQ(result.stop_reason.message(), "fifth");
  EXPECT_LT(result.seconds, 30);
  EXPECT_GE(result.verified, 5u);
}

TEST_F(RunStepTest, VerifyTakesAShare) {
  std::atomic<int> checked{0};
  Run({.rate = 1'000,
       .duration = absl::Seconds(1),
       .warmup = absl::ZeroDuration(),
       .verify_fraction = 0.25},
      Always, [&checked](size_t, const grpc::ByteBuffer&) {
        ++checked;
        return absl::OkStatus();
      });
  // 250 with a standard deviation of 13.7, the seed is fixed.
  EXPECT_GT(checked, 180);
  EXPECT_LT(checked, 320);
}

TEST_F(RunStepTest, AServerThatIsGoneStopsIt) {
  int ticks = 0;
  const StepResult result = Run({.concurrency = 3,
                                 .duration = absl::Seconds(60),
                                 .warmup = absl::ZeroDuration()},
                                [this, &ticks](const Progress&) {
                                  if (++ticks == 3) server_->Shutdown();
                                  return true;
                                });
  EXPECT_EQ(result.stop, Stop::kServerGone);
  EXPECT_TRUE(absl::IsUnavailable(result.stop_reason));
  EXPECT_GT(result.ok, 0u);
  EXPECT_LT(result.seconds, 30);
}

TEST(Workload, PicksAsTheWeightsSay) {
  std::vector<Variant> variants(3);
  variants[0].weight = 1;
  variants[1].weight = 6;
  variants[2].weight = 3;
  const Workload workload(variants);
  std::mt19937_64 random(1);
  std::vector<int> picked(3);
  for (int i = 0; i < 100'000; ++i) ++picked[workload.Pick(random)];
  // Standard deviations of at most 155.
  EXPECT_NEAR(picked[0], 10'000, 800);
  EXPECT_NEAR(picked[1], 60'000, 800);
  EXPECT_NEAR(picked[2], 30'000, 800);
}

}  // namespace
}  // namespace halfstep::load

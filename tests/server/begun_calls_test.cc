// What gRPC counts of the calls on a connection, read off a server of its own.
#include "server/network/begun_calls.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "server/call/event_loop.h"
#include "server/call/raw_call.h"
#include "tests/server/raw_client.h"

namespace halfstep {
namespace {

constexpr char kHold[] = "/test.Holder/Hold";
// For what must come at all.
constexpr absl::Duration kLong = absl::Seconds(60);
constexpr absl::Duration kMoment = absl::Milliseconds(5);

// Its calls end when they are told to.
class Holder final : public RawService {
 public:
  Holder() : RawService("test.Holder") {
    Add("Hold", [this](RawCall& call) {
      const absl::MutexLock lock(&mutex_);
      held_.push_back({call.context().peer(), new Call(call)});
    });
  }

  // Waits until `count` calls are held, and returns their peers in the order in
  // which they came.
  std::vector<std::string> AwaitPeers(size_t count) {
    const auto is_there = [&] { return held_.size() >= count; };
    const absl::MutexLock lock(&mutex_);
    if (!mutex_.AwaitWithTimeout(absl::Condition(&is_there), kLong)) {
      ADD_FAILURE() << held_.size() << " calls have come, not " << count;
      return std::vector<std::string>(count);
    }
    std::vector<std::string> peers;
    for (const Held& held : held_) peers.push_back(held.peer);
    return peers;
  }

  void EndFirst() {
    const absl::MutexLock lock(&mutex_);
    held_.front().call->End();
    held_.erase(held_.begin());
  }

  void EndAll() {
    while (!AwaitPeers(0).empty()) EndFirst();
  }

 private:
  class Call final : public CallReactor {
   public:
    explicit Call(RawCall& call) : CallReactor(call) {}
    void End() { Finish(grpc::Status::OK); }

   private:
    void OnReadDone(bool /*ok*/) override {}
    void OnDone() override { delete this; }
  };

  struct Held {
    std::string peer;
    Call* call;
  };

  absl::Mutex mutex_;
  std::vector<Held> held_;
};

class BegunCallsTest : public testing::Test {
 protected:
  BegunCallsTest() {
    grpc::ServerBuilder builder;
    builder.AddChannelArgument(GRPC_ARG_ENABLE_CHANNELZ, 1);
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port_);
    loop_ = std::make_unique<EventLoop>(builder);
    builder.RegisterService(&holder_);
    server_ = builder.BuildAndStart();
    loop_->Start(1);
    holder_.Open(*loop_);
  }

  ~BegunCallsTest() override {
    holder_.EndAll();
    server_->Shutdown();
    loop_->Stop();
  }

  // A connection of its own.
  std::shared_ptr<grpc::Channel> Connect() const {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel(absl::StrCat("127.0.0.1:", port_),
                                     grpc::InsecureChannelCredentials(),
                                     arguments);
  }

  // Whether gRPC comes to count that; it may take a moment to see an end.
  testing::AssertionResult Becomes(const std::string& peer,
                                   std::optional<uint64_t> wanted) {
    std::optional<uint64_t> counted;
    for (const absl::Time end = absl::Now() + kLong; absl::Now() < end;) {
      counted = begun_.On(peer, /*is_new=*/false);
      if (counted == wanted) return testing::AssertionSuccess();
      absl::SleepFor(kMoment);
    }
    return testing::AssertionFailure()
           << (counted.has_value() ? absl::StrCat(*counted) : "nothing");
  }

  BegunCalls begun_;
  Holder holder_;
  int port_ = 0;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(BegunCallsTest, CountsThoseThatAreNotOver) {
  const std::shared_ptr<grpc::Channel> channel = Connect();
  OpenCall first(*channel, kHold);
  OpenCall second(*channel, kHold);
  const std::string peer = holder_.AwaitPeers(2).front();
  EXPECT_EQ(begun_.On(peer, /*is_new=*/true), 2u);
  holder_.EndFirst();
  EXPECT_TRUE(Becomes(peer, 1));
  holder_.EndFirst();
  EXPECT_TRUE(Becomes(peer, 0));
}

TEST_F(BegunCallsTest, EachConnectionHasItsOwn) {
  const std::shared_ptr<grpc::Channel> channel = Connect();
  OpenCall call(*channel, kHold);
  const std::string peer = holder_.AwaitPeers(1).front();
  EXPECT_EQ(begun_.On(peer, /*is_new=*/true), 1u);
  // One that came after it was learned which there are.
  const std::shared_ptr<grpc::Channel> other = Connect();
  OpenCall more(*other, kHold);
  OpenCall most(*other, kHold);
  const std::string other_peer = holder_.AwaitPeers(3).back();
  EXPECT_TRUE(Becomes(other_peer, 2));
  EXPECT_EQ(begun_.On(peer, /*is_new=*/false), 1u);
}

TEST_F(BegunCallsTest, KnowsNothingOfWhatHasGone) {
  std::shared_ptr<grpc::Channel> channel = Connect();
  std::string peer;
  {
    OpenCall call(*channel, kHold);
    peer = holder_.AwaitPeers(1).front();
    EXPECT_EQ(begun_.On(peer, /*is_new=*/true), 1u);
    holder_.EndFirst();
  }
  channel = nullptr;
  EXPECT_TRUE(Becomes(peer, std::nullopt));
  EXPECT_EQ(begun_.On("ipv4:127.0.0.1:1", /*is_new=*/true), std::nullopt);
}

}  // namespace
}  // namespace halfstep

#include "server/call/admission.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "server/wire/grpc_status.h"

namespace halfstep {
namespace {

class Guest : public Admission::Waiter {
 public:
  void Admitted(Ticket given) override {
    ++times;
    ticket = std::move(given);
  }

  int times = 0;
  Ticket ticket;
};

TEST(Admission, AdmitsAtOnceWhereThereIsRoom) {
  Admission admission({.bytes_max = 100, .waiting_max = 1});
  Guest guest;
  ASSERT_TRUE(admission.Enter(100, guest).ok());
  EXPECT_EQ(guest.times, 1);
  EXPECT_EQ(guest.ticket.bytes(), 100u);
  EXPECT_EQ(admission.bytes_in_flight(), 100u);
  guest.ticket.Release();
  EXPECT_EQ(admission.bytes_in_flight(), 0u);
  guest.ticket.Release();  // once is enough
  EXPECT_EQ(admission.bytes_in_flight(), 0u);
}

TEST(Admission, WaitsInOrderOfArrival) {
  Admission admission({.bytes_max = 100, .waiting_max = 2});
  Guest first;
  Guest large;
  Guest small;
  ASSERT_TRUE(admission.Enter(60, first).ok());
  ASSERT_TRUE(admission.Enter(50, large).ok());
  // Would fit, but does not overtake.
  ASSERT_TRUE(admission.Enter(10, small).ok());
  EXPECT_EQ(large.times + small.times, 0);
  EXPECT_EQ(admission.waiting(), 2u);

  ASSERT_TRUE(first.ticket.Resize(50).ok());
  EXPECT_EQ(large.times, 1);
  EXPECT_EQ(small.times, 0);
  first.ticket = Ticket();
  EXPECT_EQ(small.times, 1);
  EXPECT_EQ(admission.bytes_in_flight(), 60u);
  EXPECT_EQ(admission.admitted(), 3u);
}

TEST(Admission, LeavesAQuarterToWhoHasNoOtherCall) {
  Admission admission({.bytes_max = 100, .waiting_max = 4});
  Guest first;
  Guest second;
  Guest crowded;
  Guest alone;
  Guest alone_too;
  ASSERT_TRUE(admission.Enter(45, first).ok());
  ASSERT_TRUE(admission.Enter(30, second, false).ok());
  EXPECT_EQ(second.times, 1);
  // 75 of 100 are held: the rest is not for it.
  ASSERT_TRUE(admission.Enter(20, crowded, false).ok());
  EXPECT_EQ(crowded.times, 0);
  ASSERT_TRUE(admission.Enter(25, alone).ok());
  EXPECT_EQ(alone.times, 1);
  ASSERT_TRUE(admission.Enter(25, alone_too).ok());
  EXPECT_EQ(alone_too.times, 0);

  alone.ticket.Release();
  EXPECT_EQ(crowded.times, 0);
  EXPECT_EQ(alone_too.times, 1);
  second.ticket.Release();
  EXPECT_EQ(crowded.times, 0);  // 70 + 20
  alone_too.ticket.Release();
  EXPECT_EQ(crowded.times, 1);
  EXPECT_EQ(admission.waiting(), 0u);
}

TEST(Admission, WhoIsAloneHasAllOfIt) {
  Admission admission({.bytes_max = 100, .waiting_max = 4});
  Guest guest;
  Guest next;
  ASSERT_TRUE(admission.Enter(100, guest, false).ok());
  EXPECT_EQ(guest.times, 1);
  ASSERT_TRUE(admission.Enter(100, next, false).ok());
  guest.ticket.Release();
  EXPECT_EQ(next.times, 1);
}

TEST(Admission, RefusesWhenTooManyWait) {
  Admission admission({.bytes_max = 1, .waiting_max = 1});
  Guest first;
  Guest second;
  Guest third;
  ASSERT_TRUE(admission.Enter(1, first).ok());
  ASSERT_TRUE(admission.Enter(1, second).ok());
  const absl::Status refused = admission.Enter(1, third);
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(RetryDelay(refused).has_value());
  first.ticket.Release();
  second.ticket.Release();
  EXPECT_EQ(third.times, 0);
}

TEST(Admission, GrowsOnlyWhereThereIsRoom) {
  Admission admission({.bytes_max = 100, .waiting_max = 1});
  Guest first;
  Guest second;
  ASSERT_TRUE(admission.Enter(10, first).ok());
  ASSERT_TRUE(admission.Enter(60, second).ok());
  EXPECT_TRUE(first.ticket.Resize(40).ok());
  const absl::Status refused = first.ticket.Resize(41);
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(RetryDelay(refused).has_value());
  EXPECT_EQ(first.ticket.bytes(), 40u);
  EXPECT_EQ(admission.bytes_in_flight(), 100u);
}

TEST(Admission, WhoLeavesIsNotAdmitted) {
  Admission admission({.bytes_max = 10, .waiting_max = 3});
  Guest first;
  Guest leaver;
  Guest behind;
  ASSERT_TRUE(admission.Enter(5, first).ok());
  ASSERT_TRUE(admission.Enter(10, leaver).ok());
  ASSERT_TRUE(admission.Enter(5, behind).ok());
  EXPECT_FALSE(admission.Leave(first));  // admitted already
  EXPECT_TRUE(admission.Leave(leaver));
  EXPECT_FALSE(admission.Leave(leaver));
  // The one behind fits where the leaver did not.
  EXPECT_EQ(behind.times, 1);
  first.ticket.Release();
  EXPECT_EQ(leaver.times, 0);
}

TEST(Admission, CloseRefusesNewcomersOnly) {
  Admission admission({.bytes_max = 1, .waiting_max = 2});
  Guest first;
  Guest waiting;
  Guest late;
  ASSERT_TRUE(admission.Enter(1, first).ok());
  ASSERT_TRUE(admission.Enter(1, waiting).ok());
  admission.Close();
  EXPECT_EQ(admission.Enter(1, late).code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(admission.AwaitEmpty(absl::Now()));
  first.ticket.Release();
  EXPECT_EQ(waiting.times, 1);
  std::thread releases([&waiting] { waiting.ticket.Release(); });
  EXPECT_TRUE(admission.AwaitEmpty(absl::InfiniteFuture()));
  releases.join();
}

TEST(Admission, AZeroByteTicketIsStillHeld) {
  Admission admission({.bytes_max = 1, .waiting_max = 1});
  Guest guest;
  ASSERT_TRUE(admission.Enter(1, guest).ok());
  ASSERT_TRUE(guest.ticket.Resize(0).ok());
  EXPECT_EQ(admission.bytes_in_flight(), 0u);
  EXPECT_FALSE(admission.AwaitEmpty(absl::Now()));
  guest.ticket.Release();
  EXPECT_TRUE(admission.AwaitEmpty(absl::Now()));
}

// Waits for its turn on one thread, is admitted on whichever.
class Visitor : public Admission::Waiter {
 public:
  void Admitted(Ticket given) override {
    const absl::MutexLock lock(&mutex_);
    ticket_ = std::move(given);
    is_admitted_ = true;
  }

  // False if it left instead.
  bool AwaitOrLeave(Admission& admission, bool leaves) {
    if (leaves && admission.Leave(*this)) return false;
    const absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(&is_admitted_));
    return true;
  }

  Ticket& ticket() { return ticket_; }

 private:
  absl::Mutex mutex_;
  bool is_admitted_ = false;
  Ticket ticket_;
};

TEST(Admission, GivesBackEverythingUnderContention) {
  static constexpr uint64_t kBytesMax = 64;
  Admission admission({.bytes_max = kBytesMax, .waiting_max = 64});
  std::vector<std::thread> threads;
  for (unsigned seed = 0; seed < 8; ++seed) {
    threads.emplace_back([&admission, seed] {
      std::mt19937 random(seed);
      for (int i = 0; i < 2'000; ++i) {
        Visitor visitor;
        ASSERT_TRUE(admission.Enter(random() % kBytesMax, visitor).ok());
        if (!visitor.AwaitOrLeave(admission, random() % 4 == 0)) continue;
        visitor.ticket().Resize(random() % kBytesMax).IgnoreError();
        EXPECT_LE(admission.bytes_in_flight(), kBytesMax);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(admission.bytes_in_flight(), 0u);
  EXPECT_TRUE(admission.AwaitEmpty(absl::Now()));
}

}  // namespace
}  // namespace halfstep

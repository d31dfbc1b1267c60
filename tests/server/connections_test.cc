// Connections over the loopback, whose other end keeps to no rule.
#include "server/network/connections.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/network/listening_socket.h"
#include "server/network/watchdog.h"

namespace halfstep {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint64_t kMib = uint64_t{1} << 20;

// Both ends of one connection.
struct Pair {
  Descriptor client;
  Descriptor server;
  sockaddr_storage peer{};  // as the server sees the client
  std::string name;         // as gRPC would call it
};

class ConnectionsTest : public testing::Test {
 protected:
  ConnectionsTest() : listening_(*ListeningSocket::Listen("127.0.0.1:0", 0)) {}

  Pair Connect() const { return Connect(listening_, 0); }

  // From the loopback's `port`; 0 for any.
  static Pair Connect(const ListeningSocket& to, in_port_t port) {
    Pair pair;
    pair.client = Descriptor(socket(AF_INET, SOCK_STREAM, 0));
    const int yes = 1;
    EXPECT_EQ(setsockopt(pair.client.get(), SOL_SOCKET, SO_REUSEADDR, &yes,
                         sizeof(yes)),
              0);
    sockaddr_in from{};
    from.sin_family = AF_INET;
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    from.sin_port = htons(port);
    EXPECT_EQ(bind(pair.client.get(), reinterpret_cast<const sockaddr*>(&from),
                   sizeof(from)),
              0);
    const WatchdogTarget target = TargetOf("", to.descriptors().front().get());
    EXPECT_EQ(connect(pair.client.get(),
                      reinterpret_cast<const sockaddr*>(&target.address),
                      target.size),
              0);
    socklen_t size = sizeof(pair.peer);
    pair.server =
        Descriptor(accept(to.descriptors().front().get(),
                          reinterpret_cast<sockaddr*>(&pair.peer), &size));
    pair.name = absl::StrCat("ipv4:127.0.0.1:", PortOf(pair));
    return pair;
  }

  static in_port_t PortOf(const Pair& pair) {
    return ntohs(reinterpret_cast<const sockaddr_in&>(pair.peer).sin_port);
  }

  // Sends `bytes` from the client's end, and takes them at the server's.
  static void Send(const Pair& pair, uint64_t bytes) {
    const std::string block(64 << 10, 'x');
    std::string taken(block.size(), ' ');
    while (bytes > 0) {
      const size_t size = std::min<uint64_t>(bytes, block.size());
      ASSERT_EQ(send(pair.client.get(), block.data(), size, 0), size);
      ASSERT_EQ(recv(pair.server.get(), taken.data(), size, MSG_WAITALL), size);
      bytes -= size;
    }
  }

  static ConnectionLimits Limits(size_t most, size_t most_per_host) {
    ConnectionLimits limits;
    limits.max_connections = most;
    limits.max_connections_per_host = most_per_host;
    return limits;
  }

  ListeningSocket listening_;
};

TEST_F(ConnectionsTest, CountsWhatIsOpenAndRefusesMore) {
  Connections connections(Limits(2, 2));
  Pair first = Connect();
  const Pair second = Connect();
  const Pair third = Connect();
  EXPECT_TRUE(connections.Add(first.server.get(), first.peer));
  EXPECT_TRUE(connections.Add(second.server.get(), second.peer));
  EXPECT_FALSE(connections.Add(third.server.get(), third.peer));
  EXPECT_EQ(connections.shed(), 1u);
  EXPECT_NE(connections.Find(first.name), nullptr);
  EXPECT_EQ(connections.Find(third.name), nullptr);

  // Closed by its owner, who tells nobody; its number leads to something else.
  const int number = first.server.Release();
  ASSERT_EQ(dup2(STDIN_FILENO, number), number);
  const Descriptor other(number);
  EXPECT_THAT(connections.Sweep(), IsEmpty());
  EXPECT_EQ(connections.count(), 1u);
  EXPECT_TRUE(connections.Add(third.server.get(), third.peer));
}

TEST_F(ConnectionsTest, OfOnePeerThereIsOneAtATime) {
  Connections connections(Limits(10, 10));
  const ListeningSocket elsewhere = *ListeningSocket::Listen("127.0.0.1:0", 0);
  Pair first = Connect();
  ASSERT_TRUE(connections.Add(first.server.get(), first.peer));
  const std::shared_ptr<Connection> known = connections.Find(first.name);
  // From the same port to another of our addresses: gRPC's name is the same.
  const Pair second = Connect(elsewhere, PortOf(first));
  ASSERT_EQ(second.name, first.name);
  EXPECT_FALSE(connections.Add(second.server.get(), second.peer));
  EXPECT_EQ(connections.shed(), 1u);
  EXPECT_EQ(connections.Find(first.name), known);
  // Once its client has gone, there is room, whether gRPC has closed it or not.
  first.client.Reset();
  char byte = 0;
  ASSERT_EQ(recv(first.server.get(), &byte, 1, 0), 0);
  EXPECT_TRUE(connections.Add(second.server.get(), second.peer));
  EXPECT_NE(connections.Find(first.name), known);
  EXPECT_EQ(connections.count(), 1u);
}

TEST_F(ConnectionsTest, OneHostHasItsShare) {
  Connections connections(Limits(10, 1));
  const Pair first = Connect();
  const Pair second = Connect();
  EXPECT_TRUE(connections.Add(first.server.get(), first.peer));
  EXPECT_FALSE(connections.Add(second.server.get(), second.peer));
}

TEST_F(ConnectionsTest, WhatCallsAccountForMayBeSent) {
  Connections connections(Limits(10, 10));
  const Pair pair = Connect();
  ASSERT_TRUE(connections.Add(pair.server.get(), pair.peer));
  const std::shared_ptr<Connection> connection = connections.Find(pair.name);
  ASSERT_NE(connection, nullptr);
  for (int i = 0; i < 20; ++i) {
    const uint64_t call = connection->BeginCall();
    connection->BeginRead(64 * kMib);
    Send(pair, 10 * kMib);
    connection->EndRead(64 * kMib, 10 * kMib);
    connection->EndCall(true, call, 0);
    EXPECT_THAT(connections.Sweep(), IsEmpty()) << i;
  }
  EXPECT_EQ(connections.ended(), 0u);
}

TEST_F(ConnectionsTest, WhatIsAbandonedIsForgiven) {
  Connections connections(Limits(10, 10));
  const Pair pair = Connect();
  ASSERT_TRUE(connections.Add(pair.server.get(), pair.peer));
  const std::shared_ptr<Connection> connection = connections.Find(pair.name);
  for (int i = 0; i < 20; ++i) {
    const uint64_t call = connection->BeginCall();
    const uint64_t begin = connection->BeginRead(64 * kMib);
    Send(pair, 20 * kMib);
    connection->AbandonRead(64 * kMib, begin);
    connection->EndCall(false, call, 0);
    EXPECT_THAT(connections.Sweep(), IsEmpty()) << i;
  }
}

TEST_F(ConnectionsTest, ClosesWhatSendsMoreThanAMessageMayHave) {
  Connections connections(Limits(10, 10));
  const Pair pair = Connect();
  ASSERT_TRUE(connections.Add(pair.server.get(), pair.peer));
  const std::shared_ptr<Connection> connection = connections.Find(pair.name);
  connection->BeginCall();
  connection->BeginRead(64 * kMib);
  Send(pair, 60 * kMib);
  EXPECT_THAT(connections.Sweep(), IsEmpty());
  // 64 MiB, 1 / 64 of that and 8 MiB are allowed.
  Send(pair, 20 * kMib);
  EXPECT_THAT(connections.Sweep(),
              ElementsAre(HasSubstr(absl::StrCat(pair.name, ": 83886080 "))));
  EXPECT_TRUE(connection->is_ended());
  EXPECT_EQ(connections.ended(), 1u);
  char byte = 0;
  EXPECT_LE(recv(pair.client.get(), &byte, 1, 0), 0);
  // Said once.
  EXPECT_THAT(connections.Sweep(), IsEmpty());
}

TEST_F(ConnectionsTest, WhatComesBeforeItsCallIsTakenUpHasAMoment) {
  Connections connections(Limits(10, 10));
  const Pair pair = Connect();
  ASSERT_TRUE(connections.Add(pair.server.get(), pair.peer));
  Send(pair, 16 * kMib);
  EXPECT_THAT(connections.Sweep(), IsEmpty());
  absl::SleepFor(absl::Milliseconds(300));
  EXPECT_EQ(connections.Sweep().size(), 1u);
}

TEST_F(ConnectionsTest, ClosesWhatBeginsCallsThatCannotBeClearedAway) {
  absl::flat_hash_map<std::string, uint64_t> held;
  ConnectionLimits limits = Limits(10, 10);
  limits.max_streams_per_connection = 128;
  Connections connections(limits, [&held](absl::string_view name, bool) {
    return std::optional<uint64_t>(held[name]);
  });
  const Pair busy = Connect();
  const Pair abusive = Connect();
  for (const Pair* const pair : {&busy, &abusive}) {
    ASSERT_TRUE(connections.Add(pair->server.get(), pair->peer));
    Send(*pair, 64 << 10);
    held[pair->name] = 128 + 500;
  }
  EXPECT_THAT(connections.Sweep(), IsEmpty());
  // No more bytes come, but gRPC has not parsed them all yet.
  ++held[abusive.name];
  EXPECT_THAT(connections.Sweep(),
              ElementsAre(AllOf(HasSubstr(abusive.name),
                                HasSubstr("faster than they can be cleared"))));
  EXPECT_TRUE(connections.Find(abusive.name)->is_ended());
  EXPECT_FALSE(connections.Find(busy.name)->is_ended());
}

TEST_F(ConnectionsTest, AsksOnlyAboutWhatSendsMuch) {
  int asked = 0;
  bool was_new = false;
  std::optional<uint64_t> held = 0;
  Connections connections(Limits(10, 10), [&](absl::string_view, bool is_new) {
    ++asked;
    was_new = is_new;
    return held;
  });
  const Pair pair = Connect();
  ASSERT_TRUE(connections.Add(pair.server.get(), pair.peer));
  Send(pair, 16'000);
  EXPECT_THAT(connections.Sweep(), IsEmpty());
  EXPECT_EQ(asked, 0);
  // What is accounted for does not count.
  const std::shared_ptr<Connection> connection = connections.Find(pair.name);
  connection->BeginCall();
  connection->BeginRead(100'000);
  Send(pair, 100'000);
  connection->EndRead(100'000, 100'000);
  EXPECT_THAT(connections.Sweep(), IsEmpty());
  EXPECT_EQ(asked, 0);
  Send(pair, 2000);
  EXPECT_THAT(connections.Sweep(), IsEmpty());
  EXPECT_EQ(asked, 1);
  // A second long, what the kernel has may still come to gRPC.
  EXPECT_THAT(connections.Sweep(), IsEmpty());
  EXPECT_EQ(asked, 2);
  EXPECT_TRUE(was_new);
  absl::SleepFor(absl::Milliseconds(1100));
  EXPECT_THAT(connections.Sweep(), IsEmpty());
  EXPECT_EQ(asked, 3);
  EXPECT_THAT(connections.Sweep(), IsEmpty());
  EXPECT_EQ(asked, 3);
  // By now nothing of one that had its name before is left.
  Send(pair, 20'000);
  EXPECT_THAT(connections.Sweep(), IsEmpty());
  EXPECT_EQ(asked, 4);
  EXPECT_FALSE(was_new);
  // But of what gRPC does not know, there may be.
  held = std::nullopt;
  EXPECT_THAT(connections.Sweep(), IsEmpty());
  EXPECT_THAT(connections.Sweep(), IsEmpty());
  EXPECT_EQ(asked, 6);
  EXPECT_TRUE(was_new);
}

TEST_F(ConnectionsTest, WhatAClosedConnectionHasSentIsThrownAway) {
  Connections connections(Limits(10, 10), [](absl::string_view, bool) {
    return std::optional<uint64_t>(100'000);
  });
  const Pair pair = Connect();
  ASSERT_TRUE(connections.Add(pair.server.get(), pair.peer));
  const std::string unread(64 << 10, 'x');
  ASSERT_EQ(send(pair.client.get(), unread.data(), unread.size(), 0),
            unread.size());
  EXPECT_EQ(connections.Sweep().size(), 1u);
  char byte = 0;
  EXPECT_EQ(recv(pair.server.get(), &byte, 1, MSG_DONTWAIT), 0);
  // And closing it will reset it.
  linger how{};
  socklen_t size = sizeof(how);
  ASSERT_EQ(getsockopt(pair.server.get(), SOL_SOCKET, SO_LINGER, &how, &size),
            0);
  EXPECT_EQ(how.l_onoff, 1);
  EXPECT_EQ(how.l_linger, 0);
}

TEST_F(ConnectionsTest, WaitsUntilRepliesAreTaken) {
  Connections connections(Limits(10, 10));
  const Pair pair = Connect();
  ASSERT_TRUE(connections.Add(pair.server.get(), pair.peer));
  EXPECT_TRUE(connections.AwaitSent(absl::Now()));
  // More than the client's end takes in unread.
  const std::string block(4 * kMib, 'x');
  size_t sent = 0;
  while (true) {
    const ssize_t more =
        send(pair.server.get(), block.data(), block.size(), MSG_DONTWAIT);
    if (more <= 0) break;
    sent += static_cast<size_t>(more);
  }
  EXPECT_FALSE(connections.AwaitSent(absl::Now() + absl::Milliseconds(50)));
  std::string taken(sent, ' ');
  ASSERT_EQ(recv(pair.client.get(), taken.data(), sent, MSG_WAITALL), sent);
  EXPECT_TRUE(connections.AwaitSent(absl::Now() + absl::Seconds(10)));
}

TEST_F(ConnectionsTest, SilenceIsNoAnswer) {
  const WatchdogTarget target =
      TargetOf("", listening_.descriptors().front().get());
  // The kernel completes the connection; nobody accepts it.
  EXPECT_FALSE(Answers(target, absl::Milliseconds(100)));
  listening_.Close();
  EXPECT_FALSE(Answers(target, absl::Milliseconds(100)));
}

}  // namespace
}  // namespace halfstep

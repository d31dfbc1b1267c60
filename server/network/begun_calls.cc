#include "server/network/begun_calls.h"

#include <grpc/grpc.h>
#include <grpc/support/alloc.h>

#include <algorithm>
#include <memory>

#include "absl/strings/numbers.h"
#include "absl/time/clock.h"
#include "nlohmann/json.hpp"

namespace halfstep {
namespace {

using Json = nlohmann::json;

// With those that have gone: then all that are open are listed anew.
constexpr size_t kSocketsMax = 100'000;

// Sockets get growing ids when they are made, and are listed a moment later:
// one may come up after as many that are newer.
constexpr intptr_t kListedLate = 64;

// How often new sockets are looked for: of a connection that is not known yet,
// and of one that is.
constexpr absl::Duration kLearnIntervalOfNew = absl::Milliseconds(10);
constexpr absl::Duration kLearnInterval = absl::Milliseconds(100);

// What channelz has written, in the JSON of proto3: numbers are strings, and
// zeros are left out. Null if it has nothing.
using Written = std::unique_ptr<char, void (*)(void*)>;

Json Parse(char* channelz) {
  const Written written(channelz, gpr_free);
  if (written == nullptr) return nullptr;
  return Json::parse(written.get(), nullptr, /*allow_exceptions=*/false);
}

// The number behind `key` ("\"streamsStarted\":\""), which no name of a peer
// holds. It is asked for up to a hundred times a second of each connection, and
// parsing the rest would take as long as writing it does.
int64_t NumberIn(absl::string_view json, absl::string_view key) {
  const size_t at = json.find(key);
  if (at == absl::string_view::npos) return 0;
  const absl::string_view rest = json.substr(at + key.size());
  int64_t number = 0;
  return absl::SimpleAtoi(rest.substr(0, rest.find('"')), &number) ? number : 0;
}

// What stands at `path` of `json` if it is of that type; null otherwise.
const Json& At(const Json& json, const char* path, Json::value_t type) {
  static const Json null;
  const Json::json_pointer pointer(path);
  if (!json.contains(pointer)) return null;
  const Json& found = json.at(pointer);
  return found.type() == type ? found : null;
}

std::string TextAt(const Json& json, const char* path) {
  const Json& text = At(json, path, Json::value_t::string);
  return text.is_null() ? "" : text.get<std::string>();
}

int64_t NumberAt(const Json& json, const char* path) {
  int64_t number = 0;
  return absl::SimpleAtoi(TextAt(json, path), &number) ? number : 0;
}

// "chttp2 ipv4:127.0.0.1:42522" -> "ipv4:127.0.0.1:42522"
std::string PeerOf(const Json& socket) {
  const std::string name = TextAt(socket, "/name");
  return name.substr(name.rfind(' ') + 1);
}

}  // namespace

std::optional<uint64_t> BegunCalls::On(absl::string_view peer, bool is_new) {
  const absl::Duration interval =
      is_new || !sockets_.contains(peer) ? kLearnIntervalOfNew : kLearnInterval;
  if (absl::Now() - learned_ >= interval) Learn();
  const auto found = sockets_.find(peer);
  if (found == sockets_.end()) return std::nullopt;
  const Written written(grpc_channelz_get_socket(found->second), gpr_free);
  if (written == nullptr) {
    sockets_.erase(found);
    return std::nullopt;
  }
  // Written one after the other while calls come and go: not exact.
  const absl::string_view socket = written.get();
  const int64_t held = NumberIn(socket, "\"streamsStarted\":\"") -
                       NumberIn(socket, "\"streamsSucceeded\":\"") -
                       NumberIn(socket, "\"streamsFailed\":\"");
  return static_cast<uint64_t>(std::max<int64_t>(0, held));
}

void BegunCalls::Learn() {
  learned_ = absl::Now();
  if (sockets_.size() > kSocketsMax) {
    sockets_.clear();
    next_socket_ = 0;
  }
  const Json servers = Parse(grpc_channelz_get_servers(0));
  const intptr_t begin = std::max<intptr_t>(0, next_socket_ - kListedLate);
  for (const Json& server : At(servers, "/server", Json::value_t::array)) {
    const int64_t id = NumberAt(server, "/ref/serverId");
    intptr_t first = begin;
    for (bool is_end = false; !is_end;) {
      const Json page = Parse(grpc_channelz_get_server_sockets(id, first, 0));
      const Json& sockets = At(page, "/socketRef", Json::value_t::array);
      for (const Json& socket : sockets) {
        const intptr_t socket_id = NumberAt(socket, "/socketId");
        intptr_t& known = sockets_[PeerOf(socket)];
        known = std::max(known, socket_id);
        first = std::max(first, socket_id + 1);
      }
      is_end = sockets.empty() || page.contains("end");
    }
    next_socket_ = std::max(next_socket_, first);
  }
}

}  // namespace halfstep

// Split against the generated parser: the same message or the same refusal.
#ifndef HALFSTEP_TESTS_SERVER_SPLIT_ORACLE_H_
#define HALFSTEP_TESTS_SERVER_SPLIT_ORACLE_H_

#include <google/protobuf/message.h>
#include <grpcpp/support/byte_buffer.h>

#include <string>
#include <vector>

namespace halfstep {

// One empty message of every type of the API that a server receives, and of
// some that it does not.
const std::vector<const google::protobuf::Message*>& EveryMessage();

// `bytes` in slices that end at the positions `cuts` (ascending) and at its
// end.
grpc::ByteBuffer InSlices(const std::string& bytes,
                          const std::vector<size_t>& cuts);

// Where Split of `bytes` as a `type`, cut at `cuts`, differs from what the
// generated parser makes of them; empty if nowhere.
std::string SplitDifference(const google::protobuf::Message& type,
                            const std::string& bytes,
                            const std::vector<size_t>& cuts);

}  // namespace halfstep

#endif  // HALFSTEP_TESTS_SERVER_SPLIT_ORACLE_H_

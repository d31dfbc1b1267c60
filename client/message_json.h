// The API's messages as JSON, for files and for machines that read our output.
//
// proto3's own JSON mapping with the field names of the .proto file, except
// that 64-bit integers are numbers: they are counts and dimensions, and tools
// like jq expect numbers.
#ifndef HALFSTEP_CLIENT_MESSAGE_JSON_H_
#define HALFSTEP_CLIENT_MESSAGE_JSON_H_

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "absl/status/status.h"

namespace google::protobuf {
class Message;
}  // namespace google::protobuf

namespace halfstep {

// Every field of `message` that is set or has no presence; empty bytes are left
// out. Doubles have as many digits as it takes to read the same bits back;
// infinities and NaN are "Infinity", "-Infinity" and "NaN". Bytes are base64.
nlohmann::ordered_json ToJson(const google::protobuf::Message& message);

// A finite double as a number, others as the strings above.
nlohmann::ordered_json ToJson(double real);

// Reads what ToJson writes, or proto3 JSON. INVALID_ARGUMENT, with what
// protobuf says about it, if `text` is neither or has an unknown field.
absl::Status FromJson(const std::string& text,
                      google::protobuf::Message& message);

}  // namespace halfstep

#endif  // HALFSTEP_CLIENT_MESSAGE_JSON_H_

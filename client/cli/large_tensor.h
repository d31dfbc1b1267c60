// Tensors that do not fit a message: read, sent, received and written in
// pieces, without the user having to know.
#ifndef HALFSTEP_CLIENT_CLI_LARGE_TENSOR_H_
#define HALFSTEP_CLIENT_CLI_LARGE_TENSOR_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/command.h"
#include "client/client.h"
#include "client/npy.h"
#include "halfstep/v1/quantization.pb.h"

namespace halfstep::cli {

// What the server takes in one message, and what a piece should have: several
// are on their way at any time.
struct MessageSizes {
  uint64_t bytes_max;
  uint64_t piece_bytes;
};
absl::StatusOr<MessageSizes> AskMessageSizes(Client& client);

// Fail for what goes wrong on the way: kFile for a file, otherwise FailCall.
ExitCode FailLarge(const absl::Status& status);

// `status` as a fault of a file, which FailLarge tells from one of the server.
absl::Status FileFault(absl::Status status);

// Elements of a shape whose product is known to fit.
uint64_t ElementCountOf(const google::protobuf::RepeatedField<int64_t>& shape);

// Observes the tensor in `file`, going on from `begin` if there is one, else
// with one summary per index along `axis` if there is one.
absl::StatusOr<v1::CalibrationState> ObserveFile(
    const std::string& path, const NpyFile& file, std::optional<int32_t> axis,
    std::optional<v1::CalibrationState> begin, uint64_t piece_bytes,
    Client& client);

// Quantizes the tensor in `file` as `header` says (all but dtype and shape),
// and writes `base`.npy and `base`.json; nothing if `base` is empty. Where the
// server would have to hold too much back before it knows the scales, observes
// the tensor first: the result is the same. The response has neither codes nor
// values.
absl::StatusOr<v1::QuantizeResponse> QuantizeFile(
    const std::string& path, const NpyFile& file,
    v1::QuantizeStreamHeader header, const std::string& base,
    uint64_t piece_bytes, Client& client);

// Dequantizes `base`.npy to `output`; nothing is written if that is empty.
absl::Status DequantizeFile(const std::string& base,
                            const v1::QuantizedTensor& description,
                            const std::string& output, uint64_t piece_bytes,
                            Client& client);

}  // namespace halfstep::cli

#endif  // HALFSTEP_CLIENT_CLI_LARGE_TENSOR_H_

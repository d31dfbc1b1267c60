#include "client/cli/large_tensor.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "client/cli/calibration_pieces.h"
#include "client/cli/progress.h"
#include "client/tensor_stream_file.h"

namespace halfstep::cli {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{1} << 20;

constexpr absl::string_view kFileFault = "halfstep/file";

// Reads the next piece of `file` from `offset` on into `bytes`; false at the
// end.
absl::StatusOr<bool> NextPiece(const NpyFile& file, uint64_t piece_bytes,
                               uint64_t& offset, std::string& bytes) {
  const uint64_t left = file.header().data_bytes - offset;
  if (left == 0) return false;
  bytes.resize(std::min(left, piece_bytes));
  const absl::Status read = file.ReadAt(offset, bytes.size(), bytes.data());
  if (!read.ok()) return FileFault(read);
  offset += bytes.size();
  return true;
}

void Append(const v1::ParameterPiece& piece,
            v1::QuantizationParameters& parameters) {
  parameters.mutable_scale()->MergeFrom(piece.scale());
  parameters.mutable_zero_point()->MergeFrom(piece.zero_point());
}

// One QuantizeStream call: the response, and the codes on their way to a file.
class QuantizedFile {
 public:
  QuantizedFile(const v1::QuantizeStreamHeader& header, std::string base)
      : base_(std::move(base)) {
    v1::QuantizedTensor& tensor = *response_.mutable_tensor();
    tensor.set_dtype(header.dtype());
    *tensor.mutable_shape() = header.shape();
  }

  absl::Status Take(v1::QuantizeStreamResponse& part) {
    v1::QuantizedTensor& tensor = *response_.mutable_tensor();
    switch (part.part_case()) {
      case v1::QuantizeStreamResponse::kParameters:
        *tensor.mutable_parameters() = std::move(*part.mutable_parameters());
        return CreateOutput();
      case v1::QuantizeStreamResponse::kParameterPiece:
        Append(part.parameter_piece(), *tensor.mutable_parameters());
        return absl::OkStatus();
      case v1::QuantizeStreamResponse::kCodes:
        return output_.has_value() ? FileFault(output_->Write(part.codes()))
                                   : absl::OkStatus();
      case v1::QuantizeStreamResponse::kSummary:
        *response_.mutable_cuts() = part.summary().cuts();
        if (part.summary().has_error()) {
          *response_.mutable_error() = part.summary().error();
        }
        return absl::OkStatus();
      case v1::QuantizeStreamResponse::PART_NOT_SET:
        break;
    }
    return absl::OkStatus();
  }

  absl::StatusOr<v1::QuantizeResponse> Finish() {
    if (output_.has_value()) {
      const absl::Status finished = output_->Finish(response_.tensor());
      if (!finished.ok()) return FileFault(finished);
    }
    return std::move(response_);
  }

 private:
  absl::Status CreateOutput() {
    if (base_.empty()) return absl::OkStatus();
    absl::StatusOr<QuantizedOutput> output =
        QuantizedOutput::Create(base_, response_.tensor());
    if (!output.ok()) return FileFault(output.status());
    output_.emplace(*std::move(output));
    return absl::OkStatus();
  }

  const std::string base_;
  v1::QuantizeResponse response_;
  std::optional<QuantizedOutput> output_;
};

absl::StatusOr<v1::QuantizeResponse> Stream(
    const NpyFile& file, const v1::QuantizeStreamHeader& header,
    const std::string& base, uint64_t piece_bytes, Client& client) {
  QuantizedFile out(header, base);
  Progress progress("quantize", file.header().data_bytes);
  bool has_begun = false;
  uint64_t offset = 0;
  const absl::Status done = client.QuantizeStream(
      [&](v1::QuantizeStreamRequest& request) -> absl::StatusOr<bool> {
        if (!std::exchange(has_begun, true)) {
          *request.mutable_header() = header;
          return true;
        }
        const absl::StatusOr<bool> more =
            NextPiece(file, piece_bytes, offset, *request.mutable_data());
        if (more.ok() && *more) progress.Add(request.data().size());
        return more;
      },
      [&](v1::QuantizeStreamResponse& part) { return out.Take(part); });
  if (!done.ok()) return done;
  return out.Finish();
}

// What dynamic quantization of the file would use: its ranges, from a pass of
// their own.
absl::StatusOr<v1::QuantizationParameters> ObserveFirst(
    const std::string& path, const NpyFile& file,
    const v1::QuantizeStreamHeader& header, uint64_t piece_bytes,
    Client& client) {
  v1::ComputeParametersRequest request;
  *request.mutable_spec() = header.spec();
  request.set_dtype(header.dtype());
  std::optional<int32_t> axis;
  if (header.spec().granularity().kind_case() == v1::Granularity::kAxis) {
    axis = header.spec().granularity().axis();
    if (*axis < 0) *axis += header.shape_size();
    request.mutable_spec()->mutable_granularity()->set_axis(*axis);
  }
  absl::StatusOr<v1::CalibrationState> state =
      ObserveFile(path, file, axis, std::nullopt, piece_bytes, client);
  if (!state.ok()) return state.status();
  *request.mutable_state() = *std::move(state);
  absl::StatusOr<v1::ComputeParametersResponse> response =
      client.ComputeParameters(request);
  if (!response.ok()) return response.status();
  return std::move(*response->mutable_parameters());
}

}  // namespace

ExitCode FailLarge(const absl::Status& status) {
  return status.GetPayload(kFileFault).has_value()
             ? Fail(ExitCode::kFile, status)
             : FailCall(status);
}

absl::Status FileFault(absl::Status status) {
  if (!status.ok()) status.SetPayload(kFileFault, absl::Cord());
  return status;
}

absl::StatusOr<MessageSizes> AskMessageSizes(Client& client) {
  const absl::StatusOr<v1::GetServerInfoResponse> info = client.GetServerInfo();
  if (!info.ok()) return info.status();
  // Whole elements of every dtype.
  return MessageSizes{.bytes_max = info->max_message_bytes(),
                      .piece_bytes = std::min<uint64_t>(
                          kPieceBytes, info->max_message_bytes() / 8 * 8)};
}

uint64_t ElementCountOf(const google::protobuf::RepeatedField<int64_t>& shape) {
  uint64_t count = 1;
  for (const int64_t dimension : shape) {
    count *= static_cast<uint64_t>(dimension);
  }
  return count;
}

absl::StatusOr<v1::CalibrationState> ObserveFile(
    const std::string& path, const NpyFile& file, std::optional<int32_t> axis,
    std::optional<v1::CalibrationState> begin, uint64_t piece_bytes,
    Client& client) {
  absl::StatusOr<CalibrationPieces> pieces =
      CalibrationPieces::Of(path, file, axis, piece_bytes);
  if (!pieces.ok()) return FileFault(pieces.status());
  Progress progress("observe", file.header().data_bytes);
  bool has_begun = false;
  absl::StatusOr<v1::ObserveResponse> response =
      client.Observe([&](v1::ObserveRequest& request) -> absl::StatusOr<bool> {
        if (!std::exchange(has_begun, true)) {
          if (begin.has_value()) {
            *request.mutable_state() = *std::move(begin);
          } else if (axis.has_value()) {
            request.set_axis(*axis < 0 ? *axis + static_cast<int32_t>(
                                                     file.header().shape.size())
                                       : *axis);
          }
        }
        const absl::StatusOr<bool> more =
            pieces->Next(*request.mutable_tensor());
        if (!more.ok()) return FileFault(more.status());
        if (more.ok() && *more) progress.Add(request.tensor().data().size());
        return more;
      });
  if (!response.ok()) return response.status();
  return std::move(*response->mutable_state());
}

absl::StatusOr<v1::QuantizeResponse> QuantizeFile(
    const std::string& path, const NpyFile& file,
    v1::QuantizeStreamHeader header, const std::string& base,
    uint64_t piece_bytes, Client& client) {
  const absl::StatusOr<v1::DataType> dtype = StreamedDtype(path, file.header());
  if (!dtype.ok()) return FileFault(dtype.status());
  header.set_dtype(*dtype);
  header.mutable_shape()->Add(file.header().shape.begin(),
                              file.header().shape.end());
  absl::StatusOr<v1::QuantizeResponse> response =
      Stream(file, header, base, piece_bytes, client);
  if (!absl::IsFailedPrecondition(response.status()) ||
      header.has_parameters() || header.spec().granularity().has_group()) {
    return response;
  }
  absl::StatusOr<v1::QuantizationParameters> parameters =
      ObserveFirst(path, file, header, piece_bytes, client);
  if (!parameters.ok()) return parameters.status();
  *header.mutable_parameters() = *std::move(parameters);
  return Stream(file, header, base, piece_bytes, client);
}

absl::Status DequantizeFile(const std::string& base,
                            const v1::QuantizedTensor& description,
                            const std::string& output, uint64_t piece_bytes,
                            Client& client) {
  const absl::StatusOr<NpyFile> file =
      NpyFile::Open(absl::StrCat(base, ".npy"));
  if (!file.ok()) return FileFault(file.status());
  std::optional<RealsOutput> reals;
  if (!output.empty()) {
    absl::StatusOr<RealsOutput> created =
        RealsOutput::Create(output, description);
    if (!created.ok()) return FileFault(created.status());
    reals.emplace(*std::move(created));
  }
  Progress progress("dequantize", file->header().data_bytes);
  bool has_begun = false;
  uint64_t offset = 0;
  const absl::Status done = client.DequantizeStream(
      [&](v1::DequantizeStreamRequest& request) -> absl::StatusOr<bool> {
        if (!std::exchange(has_begun, true)) {
          v1::DequantizeStreamHeader& header = *request.mutable_header();
          *header.mutable_parameters() = description.parameters();
          header.set_dtype(description.dtype());
          *header.mutable_shape() = description.shape();
          return true;
        }
        const absl::StatusOr<bool> more =
            NextPiece(*file, piece_bytes, offset, *request.mutable_codes());
        if (more.ok() && *more) progress.Add(request.codes().size());
        return more;
      },
      [&](v1::DequantizeStreamResponse& part) {
        return part.has_data() && reals.has_value()
                   ? FileFault(reals->Write(part.data()))
                   : absl::OkStatus();
      });
  if (!done.ok() || !reals.has_value()) return done;
  return FileFault(reals->Finish());
}

}  // namespace halfstep::cli

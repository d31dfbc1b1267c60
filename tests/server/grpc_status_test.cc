#include "server/grpc_status.h"

#include <grpcpp/support/status.h>
#include <gtest/gtest.h>

#include "core/field_error.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace halfstep {
namespace {

// The details of `status`, one of each kind.
struct Details {
  google::rpc::Status status;
  std::optional<google::rpc::BadRequest> bad_request;
  std::optional<google::rpc::ErrorInfo> error_info;
  std::optional<google::rpc::RetryInfo> retry_info;
};

template <typename Message>
void Unpack(const google::protobuf::Any& any, std::optional<Message>& out) {
  if (!any.Is<Message>()) return;
  EXPECT_FALSE(out.has_value());
  out.emplace();
  EXPECT_TRUE(any.UnpackTo(&*out));
}

Details DetailsOf(const grpc::Status& status) {
  Details details;
  EXPECT_TRUE(details.status.ParseFromString(status.error_details()));
  for (const google::protobuf::Any& any : details.status.details()) {
    Unpack(any, details.bad_request);
    Unpack(any, details.error_info);
    Unpack(any, details.retry_info);
  }
  return details;
}

TEST(GrpcStatus, OkIsOk) { EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok()); }

TEST(GrpcStatus, NamesTheFieldAtFault) {
  const grpc::Status status = ToGrpcStatus(
      UnderField("spec", FieldError("bits", "33; must be at most 32")));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "spec.bits: 33; must be at most 32");
  const Details details = DetailsOf(status);
  EXPECT_EQ(details.status.code(), 3);
  EXPECT_EQ(details.status.message(), status.error_message());
  ASSERT_TRUE(details.bad_request.has_value());
  ASSERT_EQ(details.bad_request->field_violations_size(), 1);
  EXPECT_EQ(details.bad_request->field_violations(0).field(), "spec.bits");
  EXPECT_EQ(details.bad_request->field_violations(0).description(),
            "33; must be at most 32");
  EXPECT_EQ(details.error_info->reason(), "INVALID_FIELD");
  EXPECT_EQ(details.error_info->domain(), "halfstep");
  EXPECT_FALSE(details.retry_info.has_value());
}

TEST(GrpcStatus, SaysWhetherToTryAgain) {
  const Details busy = DetailsOf(ToGrpcStatus(BusyError("busy")));
  ASSERT_TRUE(busy.retry_info.has_value());
  EXPECT_EQ(busy.retry_info->retry_delay().seconds(), 0);
  EXPECT_EQ(busy.retry_info->retry_delay().nanos(),
            absl::ToInt64Nanoseconds(kBusyRetryDelay));
  EXPECT_EQ(busy.error_info->reason(), "SERVER_BUSY");
  EXPECT_FALSE(busy.bad_request.has_value());

  const Details limit = DetailsOf(ToGrpcStatus(LimitError("values", "3; 2")));
  EXPECT_FALSE(limit.retry_info.has_value());
  EXPECT_EQ(limit.error_info->reason(), "LIMIT_EXCEEDED");
  EXPECT_EQ(limit.bad_request->field_violations(0).field(), "values");
}

TEST(GrpcStatus, GivesEveryCodeAReason) {
  EXPECT_EQ(ErrorReason(absl::InvalidArgumentError("")), "MALFORMED_MESSAGE");
  EXPECT_EQ(ErrorReason(absl::FailedPreconditionError("")), "PRECONDITION");
  EXPECT_EQ(ErrorReason(absl::UnimplementedError("")), "NOT_SERVED");
  EXPECT_EQ(ErrorReason(absl::UnavailableError("")), "SHUTTING_DOWN");
  EXPECT_EQ(ErrorReason(absl::CancelledError("")), "CANCELLED");
  EXPECT_EQ(ErrorReason(absl::DeadlineExceededError("")), "DEADLINE_EXCEEDED");
  EXPECT_EQ(ErrorReason(absl::InternalError("")), "INTERNAL");
}

TEST(GrpcStatus, KeepsEveryCode) {
  for (int code = 1; code <= 16; ++code) {
    const absl::Status status(static_cast<absl::StatusCode>(code), "why");
    EXPECT_EQ(ToGrpcStatus(status).error_code(), code);
    EXPECT_EQ(ToGrpcStatus(status).error_message(), "why");
  }
}

}  // namespace
}  // namespace halfstep

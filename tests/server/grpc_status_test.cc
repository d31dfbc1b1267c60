#include "server/wire/grpc_status.h"

#include <grpcpp/support/status.h>
#include <gtest/gtest.h>

#include <optional>
#include <set>

#include "absl/strings/str_cat.h"
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
  std::optional<google::rpc::QuotaFailure> quota_failure;
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
    Unpack(any, details.quota_failure);
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
  const absl::Status status = BusyError("max_waiting_calls", "no room");
  const Details busy = DetailsOf(ToGrpcStatus(status));
  EXPECT_EQ(busy.status.message(), "the server is busy: no room");
  ASSERT_TRUE(busy.retry_info.has_value());
  EXPECT_EQ(busy.retry_info->retry_delay().seconds(), 0);
  EXPECT_EQ(busy.retry_info->retry_delay().nanos(),
            absl::ToInt64Nanoseconds(*RetryDelay(status)));
  EXPECT_EQ(busy.error_info->reason(), "SERVER_BUSY");
  EXPECT_FALSE(busy.bad_request.has_value());
  ASSERT_TRUE(busy.quota_failure.has_value());
  EXPECT_EQ(busy.quota_failure->violations(0).subject(), "max_waiting_calls");

  const Details limit = DetailsOf(ToGrpcStatus(LimitError("values", "3; 2")));
  EXPECT_FALSE(limit.retry_info.has_value());
  EXPECT_EQ(limit.error_info->reason(), "LIMIT_EXCEEDED");
  EXPECT_EQ(limit.bad_request->field_violations(0).field(), "values");
  ASSERT_TRUE(limit.quota_failure.has_value());
  EXPECT_EQ(limit.quota_failure->violations(0).subject(), "values");
}

TEST(GrpcStatus, SpreadsRetriesOverARange) {
  std::set<absl::Duration> delays;
  for (int i = 0; i < 100; ++i) {
    const absl::Duration delay = *RetryDelay(BusyError("memory", "no room"));
    EXPECT_GE(delay, kBusyRetryDelayMin);
    EXPECT_LE(delay, kBusyRetryDelayMax);
    delays.insert(delay);
  }
  // 100 draws out of 101 values: fewer than 10 different ones would be a
  // generator that does not generate.
  EXPECT_GE(delays.size(), 10);
}

TEST(GrpcStatus, PushesBackWhereItKnowsBetterThanTheClient) {
  const absl::Status busy = BusyError("memory", "no room");
  EXPECT_EQ(Pushback(busy),
            absl::StrCat(absl::ToInt64Milliseconds(*RetryDelay(busy))));
  EXPECT_EQ(Pushback(LimitError("values", "3; 2")), "-1");
  EXPECT_EQ(Pushback(FieldError("bits", "33")), "-1");
  EXPECT_EQ(Pushback(absl::UnimplementedError("")), "-1");
  EXPECT_EQ(Pushback(absl::UnauthenticatedError("")), "-1");
  EXPECT_EQ(Pushback(absl::InternalError("")), "-1");
  // Another server may be there; the client's own policy decides.
  EXPECT_EQ(Pushback(absl::UnavailableError("")), std::nullopt);
  EXPECT_EQ(Pushback(absl::CancelledError("")), std::nullopt);
  EXPECT_EQ(Pushback(StalledError(absl::Seconds(1))), std::nullopt);
  EXPECT_EQ(Pushback(absl::OkStatus()), std::nullopt);
}

TEST(GrpcStatus, GivesEveryCodeAReason) {
  EXPECT_EQ(ErrorReason(absl::InvalidArgumentError("")), "MALFORMED_MESSAGE");
  EXPECT_EQ(ErrorReason(absl::FailedPreconditionError("")), "PRECONDITION");
  EXPECT_EQ(ErrorReason(absl::UnimplementedError("")), "NOT_SERVED");
  EXPECT_EQ(ErrorReason(absl::UnavailableError("")), "SHUTTING_DOWN");
  EXPECT_EQ(ErrorReason(absl::CancelledError("")), "CANCELLED");
  EXPECT_EQ(ErrorReason(absl::DeadlineExceededError("")), "DEADLINE_EXCEEDED");
  EXPECT_EQ(ErrorReason(StalledError(absl::Seconds(1))), "STALLED");
  EXPECT_EQ(ErrorReason(absl::UnauthenticatedError("")), "UNAUTHENTICATED");
  EXPECT_EQ(ErrorReason(absl::PermissionDeniedError("")), "PERMISSION_DENIED");
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

// gRPC's statuses become ours with their details.
#include "client/call_status.h"

#include <grpcpp/support/status.h>
#include <gtest/gtest.h>

#include "absl/strings/cord.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace halfstep {
namespace {

// A status as a server sends it, with `details` in its trailer.
template <typename... Details>
grpc::Status Sent(grpc::StatusCode code, const std::string& message,
                  const Details&... details) {
  google::rpc::Status envelope;
  envelope.set_code(code);
  envelope.set_message(message);
  (envelope.add_details()->PackFrom(details), ...);
  return grpc::Status(code, message, envelope.SerializeAsString());
}

TEST(CallStatus, KeepsEveryCodeAndMessage) {
  EXPECT_EQ(FromGrpcStatus(grpc::Status::OK), absl::OkStatus());
  for (int code = 1; code <= 16; ++code) {
    const absl::Status status = FromGrpcStatus(
        grpc::Status(static_cast<grpc::StatusCode>(code), "why"));
    EXPECT_EQ(static_cast<int>(status.code()), code);
    EXPECT_EQ(status.message(), "why");
    EXPECT_TRUE(FieldViolations(status).empty());
    EXPECT_FALSE(RetryAfter(status).has_value());
  }
}

TEST(CallStatus, KeepsTheFieldsAtFault) {
  google::rpc::BadRequest detail;
  for (const char* field : {"spec.bits", "tensor.shape"}) {
    auto* violation = detail.add_field_violations();
    violation->set_field(field);
    violation->set_description("40; must be at most 32");
  }
  const absl::Status status = FromGrpcStatus(
      Sent(grpc::StatusCode::INVALID_ARGUMENT, "spec.bits: 40", detail));
  const std::vector<FieldViolation> violations = FieldViolations(status);
  ASSERT_EQ(violations.size(), 2u);
  EXPECT_EQ(violations[0].field, "spec.bits");
  EXPECT_EQ(violations[0].description, "40; must be at most 32");
  EXPECT_EQ(violations[1].field, "tensor.shape");
}

TEST(CallStatus, KeepsWhenToTryAgain) {
  google::rpc::RetryInfo detail;
  detail.mutable_retry_delay()->set_seconds(1);
  detail.mutable_retry_delay()->set_nanos(500'000'000);
  const absl::Status status = FromGrpcStatus(
      Sent(grpc::StatusCode::RESOURCE_EXHAUSTED, "busy", detail));
  EXPECT_EQ(RetryAfter(status), absl::Milliseconds(1500));
}

TEST(CallStatus, KeepsDetailsThatItDoesNotKnow) {
  google::rpc::ErrorInfo detail;
  detail.set_reason("LIMIT_EXCEEDED");
  const absl::Status status = FromGrpcStatus(
      Sent(grpc::StatusCode::RESOURCE_EXHAUSTED, "large", detail));
  EXPECT_EQ(status.GetPayload("type.googleapis.com/google.rpc.ErrorInfo"),
            absl::Cord(detail.SerializeAsString()));
}

TEST(CallStatus, BrokenDetailsLeaveCodeAndMessage) {
  const absl::Status status = FromGrpcStatus(grpc::Status(
      grpc::StatusCode::INVALID_ARGUMENT, "why", "\xff\xff no message"));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "why");
}

}  // namespace
}  // namespace halfstep

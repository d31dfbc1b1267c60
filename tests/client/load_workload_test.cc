// The calls that a mix makes, prepared by a server that notes what it is asked.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "client/client.h"
#include "client/load/workload.h"
#include "halfstep/v1/quantization.grpc.pb.h"

namespace halfstep::load {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Info : public v1::QuantizationService::Service {
  grpc::Status GetServerInfo(grpc::ServerContext*,
                             const v1::GetServerInfoRequest*,
                             v1::GetServerInfoResponse* response) override {
    response->set_max_message_bytes(4096);
    return grpc::Status::OK;
  }
  grpc::Status Quantize(grpc::ServerContext*, const v1::QuantizeRequest*,
                        v1::QuantizeResponse*) override {
    return grpc::Status::OK;
  }
};

// A state counts the bytes of the reals, so that one can be told from another.
class Calibration : public v1::CalibrationService::Service {
 public:
  std::vector<uint64_t> observed;  // bytes of each tensor
  bool refuse_parameters = false;

 private:
  grpc::Status Observe(grpc::ServerContext*,
                       grpc::ServerReader<v1::ObserveRequest>* reader,
                       v1::ObserveResponse* response) override {
    v1::ObserveRequest request;
    while (reader->Read(&request)) {
      observed.push_back(request.tensor().data().size());
      response->mutable_state()->add_summaries()->set_count(observed.back());
    }
    return grpc::Status::OK;
  }
  grpc::Status ComputeParameters(grpc::ServerContext*,
                                 const v1::ComputeParametersRequest*,
                                 v1::ComputeParametersResponse*) override {
    return refuse_parameters ? grpc::Status(grpc::StatusCode::INVALID_ARGUMENT,
                                            "method: refused")
                             : grpc::Status::OK;
  }
};

class WorkloadTest : public testing::Test {
 protected:
  WorkloadTest() {
    grpc::ServerBuilder builder;
    builder.RegisterService(&info_);
    builder.RegisterService(&calibration_);
    server_ = builder.BuildAndStart();
    client_ = std::make_unique<Client>(server_->InProcessChannel({}));
  }
  ~WorkloadTest() override { server_->Shutdown(); }

  Info info_;
  Calibration calibration_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Client> client_;
};

v1::ComputeParametersRequest RequestOf(const Variant& variant) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (variant.request.Dump(&slices).ok()) {
    for (const grpc::Slice& slice : slices) {
      bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
    }
  }
  v1::ComputeParametersRequest request;
  EXPECT_TRUE(request.ParseFromString(bytes));
  EXPECT_EQ(variant.request_bytes, bytes.size());
  return request;
}

TEST_F(WorkloadTest, ParametersComeOfOneStatePerSize) {
  MixOptions options;
  options.rpcs = {{Rpc::kParameters, 2}};
  options.sizes = {{256, 3}, {1024}};
  options.schemes = {{v1::SCHEME_ASYMMETRIC}, {v1::SCHEME_SYMMETRIC}};
  options.dtype = v1::DATA_TYPE_BFLOAT16;
  options.spec.set_bits(4);
  options.method = v1::CALIBRATION_METHOD_ENTROPY;
  const auto workload = Workload::Prepare(options, *client_);
  ASSERT_TRUE(workload.ok()) << workload.status();
  EXPECT_THAT(calibration_.observed, ElementsAre(256, 1024));
  const std::vector<Variant>& variants = workload->variants();
  ASSERT_EQ(variants.size(), 4u);
  for (size_t i = 0; i < variants.size(); ++i) {
    SCOPED_TRACE(i);
    EXPECT_EQ(variants[i].method,
              "/halfstep.v1.CalibrationService/ComputeParameters");
    EXPECT_EQ(variants[i].weight, i < 2 ? 6 : 2);
    const v1::ComputeParametersRequest request = RequestOf(variants[i]);
    ASSERT_EQ(request.state().summaries_size(), 1);
    EXPECT_EQ(request.state().summaries(0).count(), i < 2 ? 256u : 1024u);
    EXPECT_EQ(request.spec().scheme(), options.schemes[i % 2].value);
    EXPECT_EQ(request.spec().bits(), 4u);
    EXPECT_EQ(request.method(), v1::CALIBRATION_METHOD_ENTROPY);
    EXPECT_EQ(request.dtype(), v1::DATA_TYPE_BFLOAT16);
  }
}

TEST_F(WorkloadTest, NothingIsObservedForOtherCalls) {
  MixOptions options;
  options.rpcs = {{Rpc::kQuantize}};
  options.sizes = {{256}};
  options.schemes = {{v1::SCHEME_ASYMMETRIC}};
  const auto workload = Workload::Prepare(options, *client_);
  ASSERT_TRUE(workload.ok()) << workload.status();
  EXPECT_THAT(calibration_.observed, ElementsAre());
  EXPECT_EQ(workload->variants().front().method,
            "/halfstep.v1.QuantizationService/Quantize");
}

TEST_F(WorkloadTest, WhatTheServerRefusesIsRefused) {
  calibration_.refuse_parameters = true;
  MixOptions options;
  options.rpcs = {{Rpc::kParameters}};
  options.sizes = {{256}};
  options.schemes = {{v1::SCHEME_ASYMMETRIC}};
  const absl::Status status = Workload::Prepare(options, *client_).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("method: refused"));
}

}  // namespace
}  // namespace halfstep::load

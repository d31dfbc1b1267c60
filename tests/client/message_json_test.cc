// The API's messages as JSON and back.
#include "client/message_json.h"

#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "halfstep/v1/quantization.pb.h"

namespace halfstep {
namespace {

using google::protobuf::util::MessageDifferencer;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

v1::QuantizedTensor Tensor() {
  v1::QuantizedTensor tensor;
  v1::QuantizationSpec& spec = *tensor.mutable_parameters()->mutable_spec();
  spec.set_scheme(v1::SCHEME_ASYMMETRIC);
  spec.set_bits(8);
  spec.mutable_clamp()->set_max(0.1);
  spec.mutable_granularity()->mutable_group()->set_size(int64_t{1} << 40);
  tensor.mutable_parameters()->add_scale(0.8200388235294118);
  tensor.mutable_parameters()->add_scale(
      std::numeric_limits<double>::denorm_min());
  tensor.mutable_parameters()->add_zero_point(-11);
  tensor.set_dtype(v1::DATA_TYPE_FLOAT64);
  tensor.add_shape((int64_t{1} << 62) + 1);
  tensor.add_values(-(int64_t{1} << 31));
  tensor.set_codes(std::string("\xff\x00\x01", 3));
  return tensor;
}

TEST(MessageJson, IsReadBackExactly) {
  const v1::QuantizedTensor tensor = Tensor();
  v1::QuantizedTensor read;
  ASSERT_EQ(FromJson(ToJson(tensor).dump(), read), absl::OkStatus());
  EXPECT_TRUE(MessageDifferencer::Equals(tensor, read)) << read.DebugString();
}

TEST(MessageJson, NamesAreThoseOfTheProto) {
  const nlohmann::ordered_json json = ToJson(Tensor());
  EXPECT_EQ(json["parameters"]["spec"]["scheme"], "SCHEME_ASYMMETRIC");
  EXPECT_EQ(json["parameters"]["zero_point"],
            nlohmann::ordered_json::array({-11}));
  EXPECT_EQ(json["codes"], "/wAB");
}

TEST(MessageJson, WideIntegersAreNumbers) {
  const nlohmann::ordered_json json = ToJson(Tensor());
  EXPECT_EQ(json["shape"].dump(), "[4611686018427387905]");
  EXPECT_EQ(json["parameters"]["spec"]["granularity"]["group"]["size"].dump(),
            "1099511627776");
}

TEST(MessageJson, OnlyWhatIsSetIsShownWherePresenceIsKnown) {
  const nlohmann::ordered_json clamp =
      ToJson(Tensor())["parameters"]["spec"]["clamp"];
  EXPECT_FALSE(clamp.contains("min"));
  EXPECT_EQ(clamp["max"], 0.1);
  // Counts of zero are shown.
  EXPECT_EQ(ToJson(v1::Cuts())["saturated_count"], 0);
}

TEST(MessageJson, NonFiniteDoublesAreStrings) {
  EXPECT_EQ(ToJson(kInfinity), "Infinity");
  EXPECT_EQ(ToJson(-kInfinity), "-Infinity");
  EXPECT_EQ(ToJson(std::numeric_limits<double>::quiet_NaN()), "NaN");
  v1::ErrorReport report;
  report.set_sqnr_db(kInfinity);
  v1::ErrorReport read;
  ASSERT_EQ(FromJson(ToJson(report).dump(), read), absl::OkStatus());
  EXPECT_EQ(read.sqnr_db(), kInfinity);
}

TEST(MessageJson, RefusesWhatIsNoMessage) {
  v1::QuantizedTensor tensor;
  for (const char* text :
       {"", "[]", "{", "{\"shape\": \"x\"}", "{\"dtype\": \"FLOAT\"}",
        "{\"evil\": 1}", "{\"shape\": [1.5]}"}) {
    SCOPED_TRACE(text);
    EXPECT_EQ(FromJson(text, tensor).code(),
              absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace halfstep

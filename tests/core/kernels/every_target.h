// Runs a test once on each instruction set that build and machine have.
#ifndef HALFSTEP_TESTS_CORE_KERNELS_EVERY_TARGET_H_
#define HALFSTEP_TESTS_CORE_KERNELS_EVERY_TARGET_H_

#include <gtest/gtest.h>

#include <string>

#include "core/simd.h"

namespace halfstep {

class EveryTarget : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    ASSERT_TRUE(PinSimdTarget(GetParam()).ok());
    ASSERT_EQ(SimdTarget(), GetParam());
  }
  void TearDown() override { ASSERT_TRUE(PinSimdTarget("").ok()); }
};

inline std::string TargetName(
    const ::testing::TestParamInfo<std::string>& info) {
  return info.param;
}

}  // namespace halfstep

#endif  // HALFSTEP_TESTS_CORE_KERNELS_EVERY_TARGET_H_

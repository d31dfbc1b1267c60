// The elements of the API's tensors as numbers, however they were sent.
#ifndef HALFSTEP_CLIENT_ELEMENTS_H_
#define HALFSTEP_CLIENT_ELEMENTS_H_

#include <cstdint>
#include <vector>

#include "halfstep/v1/quantization.pb.h"

namespace halfstep {

// The reals of `tensor` in row-major order, exactly: every dtype is a subset of
// double. Bytes at the end that make no whole element are left out.
std::vector<double> RealsOf(const v1::Tensor& tensor);

// The codes of `tensor` in row-major order, unpacked; of FLOAT16 and BFLOAT16
// codes the bit patterns. The spec must be one that a server has resolved.
std::vector<int64_t> CodesOf(const v1::QuantizedTensor& tensor);

}  // namespace halfstep

#endif  // HALFSTEP_CLIENT_ELEMENTS_H_

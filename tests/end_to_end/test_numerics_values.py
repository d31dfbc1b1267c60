"""The `values` form: numbers in, numbers out, for tensors written by hand."""

import math

import grpc
import numpy as np
import pytest

import expected_replies
import oracle
import sample_requests
from server_process import refusal
from reply_checks import check, check_all_methods

pb = expected_replies.pb


def as_values(request):
    """The same request with the tensor's reals as numbers."""
    copy = type(request)()
    copy.CopyFrom(request)
    dtype = expected_replies.dtype_name(copy.tensor.dtype)
    copy.tensor.values.extend(oracle.decode_reals(dtype, copy.tensor.data).tolist())
    copy.tensor.data = b""
    return copy


@pytest.mark.parametrize("dtype", oracle.DTYPES)
def test_values_give_what_data_gives(quantization, dtype):
    for seed, bits in enumerate(range(1, 33)):
        codes = sample_requests.INTEGER_CODES[0 if bits == 1 else seed % 5]
        profile = sample_requests.PROFILES[seed % 3]
        request = sample_requests.quantize_request(
            2000 + seed, dtype, bits, profile, codes, (3, 11)
        )
        target = request.parameters if request.HasField("parameters") else request
        target.spec.non_finite_policy = pb.NON_FINITE_POLICY_SATURATE
        check_all_methods(quantization, as_values(request), (seed, dtype, bits))


def test_dtype_is_float64_where_values_are_given(quantization):
    request = pb.QuantizeRequest(tensor=pb.Tensor(values=[0.0, 1.0, 2.0], shape=[3]))
    reply = check(quantization, request, "no dtype")
    assert reply.tensor.dtype == pb.DATA_TYPE_FLOAT64
    assert list(reply.tensor.values) == [0, 128, 255]
    assert reply.tensor.codes == b""


@pytest.mark.parametrize("dtype", oracle.DTYPES)
def test_values_are_rounded_to_dtype(quantization, dtype):
    # FLOAT64's tie cases of every narrower type, and what only FLOAT64 holds.
    values = [0.1, 1 + 2.0**-11, 1 + 2.0**-11 + 2.0**-40, 1 + 2.0**-8, 1 + 2.0**-24, 2.0**-25, -0.0]
    spec = pb.QuantizationSpec(code_type=pb.CODE_TYPE_FLOAT16)
    tensor = pb.Tensor(dtype="DATA_TYPE_" + dtype, values=values, shape=[7])
    check_all_methods(quantization, pb.QuantizeRequest(spec=spec, tensor=tensor), dtype)
    check_all_methods(quantization, pb.QuantizeRequest(measure_error=True, tensor=tensor), dtype)


@pytest.mark.parametrize("dtype", ["FLOAT16", "BFLOAT16", "FLOAT32"])
def test_a_value_past_the_largest_number_is_refused(quantization, dtype):
    largest = oracle.largest_finite(dtype)
    fits = pb.Tensor(dtype="DATA_TYPE_" + dtype, values=[largest, -largest], shape=[2])
    check_all_methods(quantization, pb.QuantizeRequest(tensor=fits), dtype)
    past = pb.Tensor(dtype="DATA_TYPE_" + dtype, values=[0.0, -largest * 1.5], shape=[2])
    refused = refusal(quantization.Quantize, pb.QuantizeRequest(tensor=past))
    assert refused.code == grpc.StatusCode.INVALID_ARGUMENT
    assert refused.message.startswith("tensor.values")
    assert refused.fields == [refused.message.split(":")[0]]


def test_non_finite_values_follow_the_policy(quantization):
    values = [1.0, math.inf, math.nan, -math.inf]
    tensor = pb.Tensor(dtype=pb.DATA_TYPE_FLOAT16, values=values, shape=[4])
    refused = refusal(quantization.Quantize, pb.QuantizeRequest(tensor=tensor))
    assert refused.code == grpc.StatusCode.INVALID_ARGUMENT
    assert refused.message.startswith("tensor.")
    spec = pb.QuantizationSpec(non_finite_policy=pb.NON_FINITE_POLICY_SATURATE)
    check_all_methods(quantization, pb.QuantizeRequest(spec=spec, tensor=tensor), "saturate")


@pytest.mark.parametrize("code_type", oracle.FLOAT_CODES)
def test_float_codes_as_values_are_bit_patterns(quantization, code_type):
    spec = pb.QuantizationSpec(code_type="CODE_TYPE_" + code_type)
    tensor = pb.Tensor(values=[1.0, -1.0, -0.0], shape=[3])
    reply = check(quantization, pb.QuantizeRequest(spec=spec, tensor=tensor), code_type)
    one = {"FLOAT16": 0x3C00, "BFLOAT16": 0x3F80}[code_type]
    assert list(reply.tensor.values) == [one, one | 0x8000, 0x8000]
    back = check(quantization, pb.DequantizeRequest(tensor=reply.tensor), code_type)
    assert list(back.tensor.values) == [1.0, -1.0, -0.0]
    assert np.signbit(back.tensor.values[2])


def test_values_of_codes_dequantize_at_every_width(quantization):
    for bits in range(1, 33):
        for codes in sample_requests.INTEGER_CODES:
            if bits == 1 and (codes[0] == "SYMMETRIC" or codes[2]):
                continue
            request = sample_requests.dequantize_request(bits, "FLOAT64", bits, "ONNX", codes)
            tensor = request.tensor
            spec = expected_replies.spec_of(tensor.parameters.spec, "FLOAT64", len(tensor.shape))
            count = math.prod(tensor.shape)
            tensor.values.extend(oracle.decode_codes(tensor.codes, count, spec).tolist())
            tensor.codes = b""
            if count:
                check(quantization, request, (bits, codes))

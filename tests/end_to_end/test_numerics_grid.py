"""The server equals the oracle, bit for bit, over everything a caller can choose."""

import numpy as np
import pytest

import expected_replies
import oracle
import sample_requests
from reply_checks import check, check_all_methods

pb = expected_replies.pb
# Requests for each dtype and width: every profile with every kind of code.
SEEDS_EACH = 3


@pytest.mark.parametrize("bits", range(1, 33))
@pytest.mark.parametrize("dtype", oracle.DTYPES)
def test_integer_codes(quantization, dtype, bits):
    for profile in sample_requests.PROFILES:
        for codes in sample_requests.INTEGER_CODES:
            if bits == 1 and (codes[0] == "SYMMETRIC" or codes[2]):
                continue
            for seed in range(SEEDS_EACH):
                what = (seed, dtype, bits, profile, codes)
                check_all_methods(quantization, sample_requests.quantize_request(*what), what)
            check(quantization, sample_requests.dequantize_request(*what), what)


@pytest.mark.parametrize("code_type", oracle.FLOAT_CODES)
@pytest.mark.parametrize("dtype", oracle.DTYPES)
def test_float_codes(quantization, dtype, code_type):
    for seed in range(60):
        what = (seed, dtype, code_type)
        check_all_methods(quantization, sample_requests.float_code_request(*what), what)


@pytest.mark.parametrize("code_type", oracle.FLOAT_CODES)
@pytest.mark.parametrize("to_dtype", oracle.DTYPES)
def test_every_finite_float_code_dequantizes(quantization, to_dtype, code_type):
    patterns = np.arange(65536, dtype=np.int64)
    spec = oracle.resolve("FLOAT32", 1, code_type=code_type)
    reals = oracle.decode_reals(code_type, patterns.astype("<u2").tobytes())
    finite = patterns[np.isfinite(reals)]
    request = pb.DequantizeRequest(dtype="DATA_TYPE_" + to_dtype)
    request.tensor.parameters.spec.code_type = pb.CodeType.Value("CODE_TYPE_" + code_type)
    request.tensor.dtype = pb.DATA_TYPE_FLOAT32
    request.tensor.shape.append(len(finite))
    request.tensor.codes = oracle.encode_codes(finite, spec)
    check(quantization, request, (to_dtype, code_type))


@pytest.mark.parametrize("code_type", oracle.FLOAT_CODES)
@pytest.mark.parametrize("dtype", ["FLOAT32", "FLOAT64"])
def test_reals_around_every_float_code_round_once(quantization, dtype, code_type):
    """Every finite code, the midpoint to the next one, and that midpoint's neighbours."""
    patterns = np.arange(32768, dtype=np.int64)
    codes = oracle.decode_reals(code_type, patterns.astype("<u2").tobytes())
    codes = codes[np.isfinite(codes)].astype(np.float64)
    middles = (codes[:-1] + codes[1:]) / 2
    held = oracle.decode_reals(dtype, oracle.encode_reals(dtype, middles))
    reals = np.concatenate([codes.astype(held.dtype), held])
    zero, infinity = held.dtype.type(0), held.dtype.type(np.inf)
    reals = np.concatenate([reals, np.nextafter(held, zero), np.nextafter(held, infinity)])
    reals = np.concatenate([reals, -reals])
    request = pb.QuantizeRequest(measure_error=True)
    request.spec.code_type = pb.CodeType.Value("CODE_TYPE_" + code_type)
    request.tensor.dtype = pb.DataType.Value("DATA_TYPE_" + dtype)
    request.tensor.shape.append(len(reals))
    request.tensor.data = oracle.encode_reals(dtype, reals)
    check(quantization, request, (dtype, code_type))


# Around and past the error report's blocks of 65,536 elements.
LARGE_SHAPES = [(65535,), (65536,), (65537,), (200_001,), (700, 300), (300, 701), (30, 41, 170)]


@pytest.mark.parametrize("dtype", oracle.DTYPES)
@pytest.mark.parametrize("shape", LARGE_SHAPES, ids=str)
def test_large_tensors(quantization, shape, dtype):
    for seed, (bits, profile) in enumerate(
        [(8, "ONNX"), (4, "PYTORCH"), (16, "NOTEBOOK"), (24, "ONNX")]
    ):
        codes = sample_requests.INTEGER_CODES[(seed + len(shape)) % 5]
        what = (1000 + seed, dtype, bits, profile, codes, shape)
        check_all_methods(quantization, sample_requests.quantize_request(*what), what)


@pytest.mark.parametrize("count", range(0, 131))
def test_every_length_around_vector_widths(quantization, count):
    """Odd counts at every width from 1 to 8 bits, packed densely."""
    for bits in range(1, 9):
        request = sample_requests.quantize_request(
            count * 8 + bits, "FLOAT32", bits, "ONNX", ("ASYMMETRIC", "UINT", False), (count,)
        )
        (request.parameters if request.HasField("parameters") else request).spec.packing = (
            pb.PACKING_DENSE
        )
        check_all_methods(quantization, request, (count, bits))

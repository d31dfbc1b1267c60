"""The server equals the oracle, bit for bit, over everything a caller can choose."""
import struct

import grpc
import numpy as np
import pytest

import expected_replies
import oracle
import sample_requests
from server_process import refusal

pb = expected_replies.pb
# Requests for each dtype and width: every profile with every kind of code.
SEEDS_EACH = 3


def check(quantization, request, what):
    """One request; its reply or its refusal is the oracle's. Returns the reply."""
    try:
        wanted = expected_replies.expected(request)
    except oracle.NonFinite as non_finite:
        check_rejection(quantization, request, non_finite, what)
        return None
    actual = expected_replies.call(quantization, request)
    assert expected_replies.same(actual, wanted), describe(what, request, actual, wanted)
    return actual


def check_rejection(quantization, request, non_finite, what):
    refused = refusal(getattr(quantization, expected_replies.METHODS[type(request).__name__]), request)
    assert refused.code == grpc.StatusCode.INVALID_ARGUMENT, what
    assert refused.message.startswith("tensor.data: "), f"{what}: {refused.message}"
    assert refused.fields == ["tensor.data"], what
    words = refused.message.replace(",", " ").replace(";", " ").replace("]", " ").replace("[", " ").split()
    assert str(non_finite.index) in words, f"{what}: {non_finite} in {refused.message}"
    assert str(non_finite.count) in words, f"{what}: {non_finite} in {refused.message}"


def describe(what, request, actual, wanted):
    """The first fields that differ, in a few lines."""
    lines = [f"{what} {type(request).__name__}"]
    lines += differences(actual, wanted, "")[:12]
    how = getattr(request, request.WhichOneof("how") or "", None) if "how" in request.DESCRIPTOR.oneofs_by_name else None
    lines.append(str(how)[:1500])
    return "\n".join(lines)


def differences(actual, wanted, path):
    found = []
    for field in wanted.DESCRIPTOR.fields:
        a, w = getattr(actual, field.name), getattr(wanted, field.name)
        here = f"{path}{field.name}"
        if field.label == field.LABEL_REPEATED:
            a, w = list(a), list(w)
            if a != w:
                at = next((i for i, (x, y) in enumerate(zip(a, w)) if x != y), min(len(a), len(w)))
                found.append(f"{here}[{at}]: {a[at:at + 4]} is not {w[at:at + 4]} (of {len(a)}, {len(w)})")
        elif field.message_type is not None:
            found += differences(a, w, here + ".")
        elif isinstance(w, bytes):
            if a != w:
                at = next((i for i, (x, y) in enumerate(zip(a, w)) if x != y), min(len(a), len(w)))
                found.append(f"{here}: byte {at}: {a[at:at + 8].hex()} is not {w[at:at + 8].hex()} (of {len(a)}, {len(w)})")
        elif isinstance(w, float):
            # By their bits: NaN has many, and zero two.
            a_bits, w_bits = struct.pack(">d", a).hex(), struct.pack(">d", w).hex()
            if a_bits != w_bits:
                found.append(f"{here}: {a!r} ({a_bits}) is not {w!r} ({w_bits})")
        elif a != w:
            found.append(f"{here}: {a!r} is not {w!r}")
    return found


def check_all_methods(quantization, request, what):
    """Quantize, then FakeQuantize, Dequantize and MeasureError of the same tensor."""
    reply = check(quantization, request, what)
    check(quantization, sample_requests.fake_quantize_request(request), what)
    if reply is None:
        return
    again = pb.DequantizeRequest(tensor=reply.tensor)
    check(quantization, again, what)
    measured = pb.MeasureErrorRequest(original=request.tensor, quantized=reply.tensor)
    check(quantization, measured, what)
    reconstructed = expected_replies.call(quantization, again).tensor
    check(
        quantization,
        pb.MeasureErrorRequest(original=request.tensor, reconstructed=reconstructed),
        what,
    )


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
    for seed, (bits, profile) in enumerate([(8, "ONNX"), (4, "PYTORCH"), (16, "NOTEBOOK"), (24, "ONNX")]):
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
        (request.parameters if request.HasField("parameters") else request).spec.packing = pb.PACKING_DENSE
        check_all_methods(quantization, request, (count, bits))

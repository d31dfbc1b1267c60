"""Seeded requests over everything that a caller can choose.

One seed gives one request, so that a failure can be repeated from its message.
"""

import math
import zlib

import numpy as np

import expected_replies
import oracle

pb = expected_replies.pb

# (scheme, code type, narrow_range)
INTEGER_CODES = [
    ("ASYMMETRIC", "UINT", False),
    ("ASYMMETRIC", "INT", False),
    ("ASYMMETRIC", "INT", True),
    ("SYMMETRIC", "INT", False),
    ("SYMMETRIC", "INT", True),
]
PROFILES = ("ONNX", "PYTORCH", "NOTEBOOK")
SHAPES = [
    (),
    (1,),
    (0,),
    (7,),
    (8,),
    (129,),
    (1000,),
    (3, 0, 2),
    (1, 1),
    (5, 67),
    (64, 17),
    (16, 33),
    (9, 5, 13),
    (2, 3, 4, 5),
    (1, 2, 3, 1, 2, 3, 1, 2),
]
GROUP_SIZES = (1, 2, 3, 8, 16, 32, 100)
KINDS = ("normal", "ties", "wide", "narrow band", "sparse", "constant", "extreme")


def generator(*what):
    """A generator seeded by all of `what`, so that neighbours share no draws."""
    return np.random.default_rng(zlib.crc32(repr(what).encode()))


def random_reals(rng, dtype, count, kind):
    """`count` reals that `dtype` holds exactly."""
    largest = oracle.largest_finite(dtype)
    if kind == "normal":
        reals = rng.normal(0, 10.0 ** rng.integers(-3, 4), count)
    elif kind == "ties":
        # Halves of a power of two: quotients end in .5 for scales that are one.
        reals = rng.integers(-300, 300, count) * 0.5 * 2.0 ** rng.integers(-6, 7)
    elif kind == "wide":
        reals = rng.choice([-1, 1], count) * 2.0 ** rng.uniform(-40, 15, count)
    elif kind == "narrow band":
        reals = rng.uniform(1000, 1030, count) * rng.choice([-1, 1])
    elif kind == "sparse":
        reals = np.where(
            rng.random(count) < 0.7, rng.choice([0.0, -0.0], count), rng.normal(0, 2, count)
        )
    elif kind == "constant":
        reals = np.full(count, rng.choice([0.0, -0.0, 3.0, -2.5, 1e-3]))
    else:
        smallest = {"FLOAT16": 2.0**-24, "FLOAT64": 5e-324}.get(dtype, 2.0**-133)
        reals = rng.choice(
            [
                largest,
                -largest,
                largest / 3,
                1.0,
                -1.0,
                smallest,
                -smallest,
                9 * smallest,
                0.0,
                -0.0,
            ],
            count,
        )
    rounded = oracle.round_to(dtype, np.asarray(reals, np.float64))[0]
    return oracle.as_decoded(dtype, rounded)


def random_shape(rng):
    return SHAPES[rng.integers(len(SHAPES))]


def random_spec(rng, bits, profile, codes, rank):
    """A QuantizationSpec message, some of it left to its default."""
    scheme, code_type, narrow = codes
    message = pb.QuantizationSpec(bits=bits, scheme="SCHEME_" + scheme, narrow_range=narrow)
    if profile != "ONNX" or rng.random() < 0.5:
        message.profile = pb.Profile.Value("PROFILE_" + profile)
    implied = "INT" if scheme == "SYMMETRIC" else "UINT"
    if code_type != implied or rng.random() < 0.5:
        message.code_type = pb.CodeType.Value("CODE_TYPE_" + code_type)
    message.packing = int(rng.integers(0, 3))
    if rank and rng.random() < 0.7:
        axis = int(rng.integers(-rank, rank))
        if rng.random() < 0.4:
            message.granularity.axis = axis
        else:
            message.granularity.group.axis = axis
            message.granularity.group.size = int(rng.choice(GROUP_SIZES))
    random_bounds(rng, message)
    return message


def random_bounds(rng, message):
    """Sometimes a clamp range, sometimes a policy."""
    if rng.random() < 0.3:
        bounds = sorted(rng.normal(0, 5, 2))
        which = rng.integers(3)
        if which != 1:
            message.clamp.min = bounds[0]
        if which != 0:
            message.clamp.max = bounds[1]
    message.non_finite_policy = int(rng.choice([0, 1, 2], p=[0.25, 0.25, 0.5]))


def random_tensor(rng, dtype, shape, with_non_finite):
    count = math.prod(shape)
    reals = random_reals(rng, dtype, count, KINDS[rng.integers(len(KINDS))])
    if with_non_finite and count and rng.random() < 0.6:
        where = rng.integers(0, count, max(1, count // 20))
        reals[where] = rng.choice([np.nan, np.inf, -np.inf], len(where))
    data = oracle.encode_reals(dtype, reals)
    return pb.Tensor(dtype="DATA_TYPE_" + dtype, shape=shape, data=data)


def random_parameters(rng, spec_message, dtype, shape):
    """Static parameters that fit, scales of any size among them."""
    spec = expected_replies.spec_of(spec_message, dtype, len(shape))
    pairs = math.prod(oracle.pair_grid(shape, spec))
    message = pb.QuantizationParameters(spec=spec_message)
    exponent = rng.choice([0, 0, 0, -30, 30, -120, 120])
    powers = rng.random() < 0.4
    scales = 2.0 ** (rng.integers(-4, 5, pairs) + exponent)
    message.scale.extend((scales if powers else scales * rng.uniform(1, 2, pairs)).tolist())
    if not spec.symmetric:
        if spec.profile == "NOTEBOOK":
            low, high = oracle.INT32_MIN, oracle.INT32_MAX
            if rng.random() < 0.7:
                low, high = -1000, 1000
        else:
            low, high = spec.quant_min, min(spec.quant_max, oracle.INT32_MAX)
        message.zero_point.extend(rng.integers(low, high, pairs, endpoint=True).tolist())
    return message


def quantize_request(seed, dtype, bits, profile, codes, shape=None):
    """A QuantizeRequest; one of two is static."""
    rng = generator(seed, dtype, bits, profile, codes)
    shape = random_shape(rng) if shape is None else shape
    spec = random_spec(rng, bits, profile, codes, len(shape))
    request = pb.QuantizeRequest(measure_error=bool(rng.random() < 0.7))
    if rng.random() < 0.5:
        request.parameters.CopyFrom(random_parameters(rng, spec, dtype, shape))
    else:
        request.spec.CopyFrom(spec)
    saturates = spec.non_finite_policy == pb.NON_FINITE_POLICY_SATURATE
    rejected = not saturates and rng.random() < 0.05
    request.tensor.CopyFrom(random_tensor(rng, dtype, shape, saturates or rejected))
    return request


def float_code_request(seed, dtype, code_type):
    """A QuantizeRequest for FLOAT16 or BFLOAT16 codes."""
    rng = generator(seed, dtype, code_type)
    spec = pb.QuantizationSpec(code_type="CODE_TYPE_" + code_type)
    spec.bits = int(rng.choice([0, 16]))
    spec.packing = int(rng.integers(0, 3))
    random_bounds(rng, spec)
    request = pb.QuantizeRequest(measure_error=True)
    if rng.random() < 0.5:
        request.parameters.spec.CopyFrom(spec)
    else:
        request.spec.CopyFrom(spec)
    saturates = spec.non_finite_policy == pb.NON_FINITE_POLICY_SATURATE
    request.tensor.CopyFrom(random_tensor(rng, dtype, random_shape(rng), saturates))
    return request


def dequantize_request(seed, dtype, bits, profile, codes):
    """A DequantizeRequest with codes from the whole code range."""
    rng = generator("dequantize", seed, dtype, bits, profile, codes)
    shape = random_shape(rng)
    spec_message = random_spec(rng, bits, profile, codes, len(shape))
    request = pb.DequantizeRequest()
    request.dtype = int(rng.integers(0, 5))
    tensor = request.tensor
    tensor.parameters.CopyFrom(random_parameters(rng, spec_message, dtype, shape))
    tensor.dtype = pb.DataType.Value("DATA_TYPE_" + dtype)
    tensor.shape.extend(shape)
    spec = expected_replies.spec_of(spec_message, dtype, len(shape))
    drawn = rng.integers(spec.quant_min, spec.quant_max, math.prod(shape), endpoint=True)
    tensor.codes = oracle.encode_codes(drawn, spec)
    return request


def fake_quantize_request(request, gradient_mask=True):
    """The FakeQuantizeRequest that asks for the same as a QuantizeRequest."""
    fake = pb.FakeQuantizeRequest(
        measure_error=request.measure_error, gradient_mask=gradient_mask, tensor=request.tensor
    )
    if request.WhichOneof("how") == "parameters":
        fake.parameters.CopyFrom(request.parameters)
    elif request.WhichOneof("how") == "spec":
        fake.spec.CopyFrom(request.spec)
    return fake

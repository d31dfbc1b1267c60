"""Golden vectors where no runtime computes the same: by docs/numerics.md alone."""

import copy
import math
import sys

import numpy as np
from google.protobuf import json_format

from generate import HERE, b64, case, parameters, spec, tensor, values_tensor

sys.path.insert(0, str(HERE.parent / "end_to_end"))
import expected_replies  # noqa: E402

DESCRIPTION = (
    "What no runtime computes: docs/numerics.md, by the second implementation of it, "
    "tests/end_to_end/oracle.py. Whole replies."
)
pb = expected_replies.pb
FLT_MAX = float(np.finfo(np.float32).max)
NAN, INF = math.nan, math.inf
LARGEST = {"FLOAT16": 65504.0, "BFLOAT16": float.fromhex("0x1.fep127"), "FLOAT32": FLT_MAX}


def by_oracle(name, section, method, request):
    """A case whose response is the whole reply of the oracle."""
    # Not finite numbers are strings in JSON.
    text = spelled(request)
    message = json_format.ParseDict(text, getattr(pb, method + "Request")())
    reply = expected_replies.expected(message)
    response = json_format.MessageToDict(reply, including_default_value_fields=True)
    return case(
        name, f"docs/numerics.md, section {section}; oracle.py", method, text, spelled(response)
    )


def spelled(value):
    """NaN and infinities as proto3 JSON spells them."""
    if isinstance(value, dict):
        return {k: spelled(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [spelled(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def refused(name, section, method, request, code, field):
    error = {"code": code, "field": field}
    made = case(
        name, f"docs/numerics.md, section {section}", method, spelled(request), None, error=error
    )
    del made["response"]
    return made


def quantize(name, section, reals, how=None, given=None, dtype="FLOAT32", shape=None):
    made = values_tensor(reals, dtype)
    if shape is not None:
        made["shape"] = [str(n) for n in shape]
    request = {"measureError": True, "tensor": made}
    request.update({"parameters": given} if given else {"spec": how or {}})
    return by_oracle(name, section, "Quantize", request)


def empty(shape, how):
    made = {"dtype": "DATA_TYPE_FLOAT32", "shape": [str(n) for n in shape]}
    return {"spec": how, "measureError": True, "tensor": made}


def degenerate():
    for profile in ("ONNX", "PYTORCH", "NOTEBOOK"):
        how = spec(profile=profile)
        for name, reals in (
            ("constant", [2.5] * 3),
            ("negative constant", [-2.5] * 3),
            ("all zero", [0.0, -0.0, 0.0]),
            ("a single element", [3.0]),
            ("-0.0 and 255", [-0.0, 255.0]),
        ):
            yield quantize(f"{profile}: {name}", 2, reals, how)
        yield by_oracle(f"{profile}: empty", 2, "Quantize", empty([0], how))
        yield quantize(
            f"{profile}: no finite real", 2, [NAN, INF], {**how, **spec(nonFinitePolicy="SATURATE")}
        )
    yield quantize(
        "NOTEBOOK: zero point past int32",
        2,
        [1, 1 + 2.0**-52],
        spec(profile="NOTEBOOK", bits=16),
        dtype="FLOAT64",
    )
    yield quantize("NOTEBOOK: a tiny constant", 2, [2.0**-100] * 2, spec(profile="NOTEBOOK"))
    for profile in ("ONNX", "PYTORCH", "NOTEBOOK"):
        how = {**spec(profile=profile, codeType="INT"), "narrowRange": True}
        yield quantize(
            f"{profile}: a tie of the zero point, lowest code odd", 2, [-2.5, 251.5], how
        )
    yield quantize(
        "UINT of 32 bits: zero point stays in int32", 2, [-1.0, 0.0], spec(bits=32), dtype="FLOAT64"
    )
    yield quantize("rank 0", 5, 5.0, spec(scheme="SYMMETRIC"), dtype="FLOAT64")
    yield quantize(
        "subnormal reals: the scale becomes 2^-126", 2, [2.0**-149, 255 * 2.0**-149, 0.0]
    )
    reals = [2.0**-127, 3 * 2.0**-127, 2.0**-126]
    yield quantize("subnormal reals are kept", 1, reals, given=parameters({}, [2.0**-126], [0]))
    yield quantize("+-FLT_MAX: the width overflows float32", 2, [-FLT_MAX, FLT_MAX])
    yield quantize("FLOAT16 from -65504 to 65504", 6, [-65504, 65504, 0], dtype="FLOAT16")
    yield quantize(
        "FLOAT16 from -65504 to 65504, symmetric, 2 bits",
        6,
        [-65504, 65504],
        spec(scheme="SYMMETRIC", bits=2),
        dtype="FLOAT16",
    )


def cut():
    saturating = spec(nonFinitePolicy="SATURATE")
    yield quantize("NaN and infinities saturate", 4, [-1, NAN, INF, -INF, 4.1], saturating)
    for count in (1, 4, 5, 8, 9, 16, 17, 33):
        name = f"NaN only in the last element of {count}"
        reals = [1.0] * (count - 1) + [NAN]
        yield quantize(name + ", SATURATE", 4, reals, saturating)
        yield refused(
            name + ", REJECT",
            4,
            "Quantize",
            {"tensor": tensor(np.array(reals, np.float32))},
            "INVALID_ARGUMENT",
            "tensor.data",
        )
    far = [2.0**31, -(2.0**31), 2.0**40, -(2.0**40), 2.0**100, -(2.0**100)]
    for profile in ("ONNX", "PYTORCH", "NOTEBOOK"):
        how = spec(profile=profile, codeType="INT")
        yield quantize(f"{profile}: x / scale past 2^31", 2, far, given=parameters(how, [1.0], [0]))
        yield quantize(
            f"{profile}: x / scale past 2^31, 32 bits",
            2,
            far,
            given=parameters({**how, "bits": 32}, [1.0], [0]),
        )
    yield quantize("clamp: only min", 4, [-5, -1, 0, 2, 10], {"clamp": {"min": -1.0}})
    yield quantize("clamp: only max", 4, [-5, -1, 0, 2, 10], {"clamp": {"max": 2.0}})
    yield quantize("clamp: an infinity becomes the bound", 4, [1.0, INF], {"clamp": {"max": 3.0}})
    given = parameters({**saturating, "clamp": {"max": 1000.0}}, [1.0], [0])
    yield quantize("cuts count each element once", 4, [5000, NAN, -INF, 300, 10, INF], given=given)
    for code_type in ("FLOAT16", "BFLOAT16"):
        how = {**spec(codeType=code_type), **saturating}
        reals = [
            LARGEST[code_type],
            -LARGEST[code_type],
            3e38,
            NAN,
            INF,
            -INF,
            -0.0,
            1.0,
            65519,
            65520,
            3.4e38,
        ]
        yield quantize(f"{code_type} codes: ends and not finite reals", 1, reals, how)


def layout():
    for bits in range(1, 8):
        for count in (1, 3, 5, 7, 9, 17):
            reals = [float(i % 2**bits) for i in range(count)]
            how = spec(bits=bits, packing="DENSE")
            request = {
                "parameters": parameters(how, [1.0], [0]),
                "tensor": tensor(np.array(reals, np.float32)),
            }
            yield by_oracle(f"DENSE: {count} codes of {bits} bits", 5, "Quantize", request)
    rng = np.random.default_rng(4)
    matrix = np.round(rng.normal(0, 3, (3, 5)), 2)
    cube = np.round(rng.normal(0, 3, (2, 3, 4)), 2)
    for axis in (0, 1, -1):
        yield quantize(f"per axis {axis}", 5, matrix, spec(axis=axis))
        yield quantize(f"groups of 2 along axis {axis} of [3, 5]", 5, matrix, spec(group=(axis, 2)))
    for axis in (0, 1, -1):
        yield quantize(
            f"groups of 2 along axis {axis} of [2, 3, 4]",
            5,
            cube,
            spec(group=(axis, 2), scheme="SYMMETRIC", bits=3),
        )
    yield quantize("a group longer than its axis", 5, matrix, spec(group=(1, 100)))
    yield by_oracle("a zero dimension, per axis 0", 5, "Quantize", empty([3, 0, 2], spec(axis=0)))
    yield by_oracle(
        "a zero dimension, groups along it", 5, "Quantize", empty([3, 0, 2], spec(group=(1, 4)))
    )
    yield by_oracle("shape [2^40, 0], per axis 1", 5, "Quantize", empty([2**40, 0], spec(axis=1)))
    yield refused(
        "shape [2^40, 0], per axis 0",
        5,
        "Quantize",
        empty([2**40, 0], spec(axis=0)),
        "RESOURCE_EXHAUSTED",
        None,
    )
    yield refused(
        "shape [2^62, 2, 0]",
        5,
        "Quantize",
        empty([2**62, 2, 0], {}),
        "INVALID_ARGUMENT",
        "tensor.shape",
    )
    bad = {
        "parameters": parameters(spec(bits=3, packing="DENSE"), [1.0], [0]),
        "dtype": "DATA_TYPE_FLOAT32",
        "shape": ["1"],
        "codes": b64(np.uint8([8])),
    }
    yield refused(
        "a padding bit that is set",
        5,
        "Dequantize",
        {"tensor": bad},
        "INVALID_ARGUMENT",
        "tensor.codes",
    )
    bad = copy.deepcopy(bad)
    bad["parameters"]["spec"] = spec(bits=3)
    yield refused(
        "a code past the range",
        5,
        "Dequantize",
        {"tensor": bad},
        "INVALID_ARGUMENT",
        "tensor.codes",
    )


def other_widths():
    rng = np.random.default_rng(5)
    reals = np.round(rng.normal(0, 100, 9), 3)
    for bits in range(1, 33):
        yield quantize(f"UINT of {bits} bits", 1, reals, spec(bits=bits))
        if bits > 1:
            how = spec(bits=bits, scheme="SYMMETRIC", narrow_range=True)
            how["narrowRange"] = how.pop("narrow_range")
            yield quantize(f"symmetric INT of {bits} bits, narrow range", 1, reals, how)
    for profile in ("PYTORCH", "NOTEBOOK"):
        for dtype in ("FLOAT64", "FLOAT16", "BFLOAT16"):
            yield quantize(
                f"{profile}, {dtype}, INT of 5 bits",
                2,
                reals.astype(np.float16),
                spec(profile=profile, bits=5, codeType="INT"),
                dtype=dtype,
            )
    given = parameters(spec(profile="NOTEBOOK"), [1.0], [2**24 + 1])
    yield quantize(
        "NOTEBOOK: a zero point that float32 does not hold",
        2,
        [-(2.0**24), 3 - 2.0**24],
        given=given,
    )


def reports():
    request = {
        "original": values_tensor([1.0, 2.0, NAN, 4.0]),
        "reconstructed": values_tensor([1.5, 2.0, 3.0, 3.0]),
    }
    yield by_oracle("MeasureError leaves out what is not finite", 7, "MeasureError", request)
    request = {"original": values_tensor([1.0, -2.0]), "reconstructed": values_tensor([1.0, -2.0])}
    yield by_oracle("no error: infinite", 7, "MeasureError", request)
    request = {"original": values_tensor([0.0, 0.0]), "reconstructed": values_tensor([0.0, 1.0])}
    yield by_oracle("error without signal: -infinity", 7, "MeasureError", request)
    request = {"original": values_tensor([NAN]), "reconstructed": values_tensor([0.0])}
    yield by_oracle("nothing finite: all 0", 7, "MeasureError", request)
    rng = np.random.default_rng(6)
    original = np.round(rng.normal(0, 1, 29), 4)
    request = {
        "original": values_tensor(original),
        "reconstructed": values_tensor(np.round(original, 1)),
    }
    yield by_oracle("29 elements: the order of 8 accumulators", 7, "MeasureError", request)
    request = {
        "original": values_tensor([1e200, -1e200]),
        "reconstructed": values_tensor([1e200, 1e200]),
    }
    yield by_oracle("sums that overflow", 7, "MeasureError", request)


def cases():
    return [*degenerate(), *cut(), *layout(), *other_widths(), *reports()]

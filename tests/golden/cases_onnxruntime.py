"""Golden vectors that ONNX Runtime computes."""

import sys

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

from generate import HERE, b64, case, parameters, spec, tensor

sys.path.insert(0, str(HERE.parent / "conformance"))
from onnx_operators import TYPES, dequantize_session, quantize_session, session  # noqa: E402

DESCRIPTION = "Profile ONNX as ONNX Runtime's CPU operators compute it."
SOURCE = f"onnxruntime {onnxruntime.__version__}, CPU, opset 21: "
F = np.float32


def dynamic_case(name, reals):
    node = helper.make_node("DynamicQuantizeLinear", ["x"], ["codes", "scale", "zero"])
    runtime = session(
        [node],
        [("x", TensorProto.FLOAT, reals.ndim)],
        [
            ("codes", TensorProto.UINT8, reals.ndim),
            ("scale", TensorProto.FLOAT, 0),
            ("zero", TensorProto.UINT8, 0),
        ],
    )
    codes, scale, zero = runtime.run(None, {"x": reals})
    wanted = {
        "tensor": {
            "parameters": {"scale": [float(scale)], "zeroPoint": [int(zero)]},
            "codes": b64(codes),
        }
    }
    return case(
        name,
        SOURCE + "DynamicQuantizeLinear",
        "Quantize",
        {"spec": {}, "tensor": tensor(reals)},
        wanted,
    )


def pack(codes, bits):
    """4-bit codes two to a byte, the first in the lower half; others as they are."""
    if bits != 4:
        return b64(codes)
    nibbles = np.zeros((codes.size + 1) // 2 * 2, np.uint8)
    nibbles[: codes.size] = codes.reshape(-1) & 15
    return b64(nibbles[0::2] | nibbles[1::2] << 4)


def how(name, axis, group):
    _, _, bits, _ = TYPES[name]
    made = spec(bits=bits, codeType="UINT" if name[0] == "u" else "INT")
    if bits == 4:
        made.update(spec(packing="DENSE"))
    if group:
        made.update(spec(group=(axis, group)))
    elif axis is not None:
        made.update(spec(axis=axis))
    return made


def attributes_of(axis, group):
    return {k: v for k, v in (("axis", axis), ("block_size", group)) if v is not None}


def quantize_case(name, kind, reals, scale, zero, axis=None, group=None):
    held = TYPES[kind][3]
    scale, zero = np.asarray(scale, F), np.asarray(zero, held)
    runtime = quantize_session(kind, reals.ndim, scale.ndim, attributes_of(axis, group))
    codes = runtime.run(None, {"x": reals, "scale": scale, "zero_outside": zero})[0].astype(held)
    request = {
        "parameters": parameters(how(kind, axis, group), scale, zero),
        "tensor": tensor(reals),
    }
    wanted = {"tensor": {"codes": pack(codes, TYPES[kind][2])}}
    return case(name, SOURCE + f"QuantizeLinear to {kind}", "Quantize", request, wanted)


def dequantize_case(name, kind, codes, scale, zero, axis=None, group=None):
    held = TYPES[kind][3]
    codes, scale, zero = np.asarray(codes, held), np.asarray(scale, F), np.asarray(zero, held)
    runtime = dequantize_session(kind, codes.ndim, scale.ndim, attributes_of(axis, group))
    reals = runtime.run(None, {"codes_outside": codes, "scale": scale, "zero_outside": zero})[0]
    request = {
        "tensor": {
            "parameters": parameters(how(kind, axis, group), scale, zero),
            "dtype": "DATA_TYPE_FLOAT32",
            "shape": [str(n) for n in codes.shape],
            "codes": pack(codes, TYPES[kind][2]),
        }
    }
    wanted = {"tensor": {"dtype": "DATA_TYPE_FLOAT32", "data": b64(reals)}}
    return case(name, SOURCE + f"DequantizeLinear of {kind}", "Dequantize", request, wanted)


def cases():
    rng = np.random.default_rng(1)
    normal = rng.normal(0, 3, 23).astype(F)
    bfloat16 = (normal.view(np.uint32) & np.uint32(0xFFFF0000)).view(F)
    made = [
        dynamic_case("dynamic: random reals", normal),
        dynamic_case(
            "dynamic: ties, since the scale is 1", np.array([-11, 244, *np.arange(-3.5, 9)], F)
        ),
        dynamic_case("dynamic: all zero", np.zeros(5, F)),
        dynamic_case("dynamic: constant", np.full(5, 2.5, F)),
        dynamic_case("dynamic: negative constant", np.full(5, -2.5, F)),
        dynamic_case("dynamic: a single element", np.array([3.0], F)),
        dynamic_case("dynamic: -0.0 as the lowest real", np.array([-0.0, 255.0], F)),
        dynamic_case("dynamic: rank 3", rng.normal(5, 1, (2, 3, 4)).astype(F)),
        quantize_case(
            "ties with an odd zero point", "uint8", np.arange(-4.5, 12).astype(F), 1.0, 11
        ),
        quantize_case(
            "division, not multiplication by a reciprocal: code 127",
            "uint8",
            np.array([0.273939937], F),
            0.00214854861,
            0,
        ),
        quantize_case("bfloat16 reals and a power of two as scale", "int8", bfloat16, 2.0**-5, 3),
        quantize_case("past both ends", "int8", np.array([-1e6, -128.5, 127.5, 1e6], F), 1.0, 0),
        quantize_case("empty", "uint8", np.zeros(0, F), 0.5, 3),
        quantize_case("a zero dimension", "uint8", np.zeros((3, 0, 2), F), 0.5, 3),
    ]
    for kind, (low, high, _, held) in TYPES.items():
        reals = rng.normal(0, (high - low) / 8, (3, 7)).astype(F)
        zero = rng.integers(low, high, endpoint=True)
        made.append(quantize_case(f"{kind} per tensor", kind, reals, 0.37, zero))
        scales = rng.uniform(0.1, 1, 7).astype(F)
        zeros = rng.integers(low, high, 7, endpoint=True)
        made.append(quantize_case(f"{kind} per axis -1", kind, reals, scales, zeros, axis=-1))
        # Groups of 3 on an axis of 7: the last one has 1.
        scales = rng.uniform(0.1, 1, (3, 3)).astype(F)
        zeros = rng.integers(low, high, (3, 3), endpoint=True)
        made.append(
            quantize_case(
                f"{kind} in blocks, the last one shorter", kind, reals, scales, zeros, 1, 3
            )
        )
        codes = rng.integers(low, high, (3, 7), endpoint=True)
        codes[0, :2] = low, high
        made.append(
            dequantize_case(f"{kind} back to reals, in blocks", kind, codes, scales, zeros, 1, 3)
        )
    return made

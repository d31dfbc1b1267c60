"""Golden vectors that torch computes."""

import numpy as np
import torch
from torch.ao.quantization.observer import MinMaxObserver, PerChannelMinMaxObserver

from generate import b64, case, parameters, spec, tensor

DESCRIPTION = (
    "Profile PYTORCH and 16-bit floating-point codes as torch's CPU backend computes them."
)
SOURCE = f"torch {torch.__version__.split('a')[0]}, CPU: "
F = np.float32
KINDS = {"quint8": ("UINT", torch.quint8, 0, 255), "qint8": ("INT", torch.qint8, -128, 127)}


def wanted_quantization(scale, zero, quantized, symmetric):
    made = {"scale": np.atleast_1d(scale.numpy().astype(np.float64)).tolist()}
    if not symmetric:
        made["zeroPoint"] = np.atleast_1d(zero.numpy()).tolist()
    return {"tensor": {"parameters": made, "codes": b64(quantized.int_repr().numpy())}}


def observed_case(name, kind, reals, symmetric=False):
    code_type, dtype, _, _ = KINDS[kind]
    qscheme = torch.per_tensor_symmetric if symmetric else torch.per_tensor_affine
    observer = MinMaxObserver(dtype=dtype, qscheme=qscheme)
    observer(torch.from_numpy(reals))
    scale, zero = observer.calculate_qparams()
    quantized = torch.quantize_per_tensor(torch.from_numpy(reals), float(scale), int(zero), dtype)
    scheme = "SYMMETRIC" if symmetric else "ASYMMETRIC"
    how = spec(profile="PYTORCH", scheme=scheme, codeType=code_type)
    return case(
        name,
        SOURCE + f"MinMaxObserver, quantize_per_tensor to {kind}",
        "Quantize",
        {"spec": how, "tensor": tensor(reals)},
        wanted_quantization(scale, zero, quantized, symmetric),
    )


def channels_case(name, kind, reals, axis, symmetric=False):
    code_type, dtype, _, _ = KINDS[kind]
    qscheme = torch.per_channel_symmetric if symmetric else torch.per_channel_affine
    observer = PerChannelMinMaxObserver(ch_axis=axis, dtype=dtype, qscheme=qscheme)
    observer(torch.from_numpy(reals))
    scale, zero = observer.calculate_qparams()
    quantized = torch.quantize_per_channel(torch.from_numpy(reals), scale, zero, axis, dtype)
    scheme = "SYMMETRIC" if symmetric else "ASYMMETRIC"
    how = spec(profile="PYTORCH", scheme=scheme, codeType=code_type, axis=axis)
    return case(
        name,
        SOURCE + f"PerChannelMinMaxObserver, quantize_per_channel to {kind}",
        "Quantize",
        {"spec": how, "tensor": tensor(reals)},
        wanted_quantization(scale, zero, quantized, symmetric),
    )


def static_case(name, kind, reals, scale, zero):
    code_type, dtype, _, _ = KINDS[kind]
    quantized = torch.quantize_per_tensor(torch.from_numpy(reals), float(F(scale)), zero, dtype)
    given = parameters(spec(profile="PYTORCH", codeType=code_type), F(scale), zero)
    return case(
        name,
        SOURCE + f"quantize_per_tensor to {kind}",
        "Quantize",
        {"parameters": given, "tensor": tensor(reals)},
        {"tensor": {"codes": b64(quantized.int_repr().numpy())}},
    )


def fake_case(name, kind, reals, scale, zero):
    code_type, _, low, high = KINDS[kind]
    leaf = torch.from_numpy(reals.copy()).requires_grad_()
    faked = torch.fake_quantize_per_tensor_affine(leaf, float(F(scale)), zero, low, high)
    faked.backward(torch.ones_like(faked))
    mask = np.packbits(leaf.grad.numpy() == 1, bitorder="little")
    given = parameters(spec(profile="PYTORCH", codeType=code_type), F(scale), zero)
    return case(
        name,
        SOURCE + "fake_quantize_per_tensor_affine, and its gradient",
        "FakeQuantize",
        {"parameters": given, "gradientMask": True, "tensor": tensor(reals)},
        {"gradientMask": b64(mask), "tensor": {"data": b64(faked.detach().numpy())}},
    )


def narrow_case(name, code_type, reals):
    dtype = {"FLOAT16": torch.float16, "BFLOAT16": torch.bfloat16}[code_type]
    patterns = torch.from_numpy(reals).to(dtype).view(torch.int16).numpy()
    return case(
        name,
        SOURCE + f"tensor.to({str(dtype)[6:]})",
        "Quantize",
        {"spec": spec(codeType=code_type), "tensor": tensor(reals)},
        {"tensor": {"codes": b64(patterns)}},
    )


def cases():
    rng = np.random.default_rng(2)
    normal = rng.normal(0, 3, 21).astype(F)
    matrix = (rng.normal(0, 1, (4, 5)) * 10.0 ** np.arange(-1, 3).reshape(4, 1)).astype(F)
    bfloat16 = (normal.view(np.uint32) & np.uint32(0xFFFF0000)).view(F)
    special = np.array(
        [0, -0.0, 2.0**-24, 2.0**-25, 3 * 2.0**-25, 1 + 2.0**-11, 1 + 3 * 2.0**-11, 65504, -65519],
        F,
    )
    special_b = np.array(
        [0, -0.0, 2.0**-133, 2.0**-134, 3 * 2.0**-134, 1 + 2.0**-8, 1 + 3 * 2.0**-8, 3.3e38], F
    )
    return [
        observed_case("observer: random reals, quint8", "quint8", normal),
        observed_case("observer: random reals, qint8", "qint8", normal),
        observed_case("observer: random reals, symmetric qint8", "qint8", normal, symmetric=True),
        observed_case("observer: all zero, asymmetric", "qint8", np.zeros(4, F)),
        observed_case("observer: all zero, symmetric", "qint8", np.zeros(4, F), symmetric=True),
        observed_case(
            "observer: reals below the smallest scale", "quint8", np.array([1e-9, 2e-9], F)
        ),
        observed_case("observer: a range without zero", "quint8", np.array([1024, 1030], F)),
        observed_case("observer: constant", "quint8", np.full(3, -2.5, F)),
        observed_case("observer: a single element", "qint8", np.array([3.0], F), symmetric=True),
        observed_case(
            "observer: subnormal reals", "quint8", np.array([2.0**-149, -(2.0**-130)], F)
        ),
        channels_case("channels: axis 0, quint8", "quint8", matrix, 0),
        channels_case("channels: axis 1, qint8", "qint8", matrix, 1),
        channels_case("channels: axis 0, symmetric qint8", "qint8", matrix, 0, symmetric=True),
        static_case(
            "multiplication by a reciprocal: code 128",
            "quint8",
            np.array([0.273939937], F),
            0.00214854861,
            0,
        ),
        static_case(
            "ties with an odd zero point", "quint8", np.arange(-4.5, 12).astype(F), 1.0, 11
        ),
        static_case("bfloat16 reals and a power of two as scale", "qint8", bfloat16, 2.0**-5, 3),
        fake_case("fake: random reals, some cut", "quint8", normal, 0.02, 120),
        fake_case(
            "fake: ties at both ends",
            "qint8",
            np.array([-128.5, -128.51, 127.5, 127.49, 0, 0.5], F),
            1.0,
            0,
        ),
        narrow_case("float32 to float16", "FLOAT16", np.concatenate([normal, special])),
        narrow_case("float32 to bfloat16", "BFLOAT16", np.concatenate([normal, special_b])),
    ]

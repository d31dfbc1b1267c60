"""Profile PYTORCH and 16-bit float codes against torch, on its CPU backend."""

import numpy as np
import torch
from torch.ao.quantization.observer import MinMaxObserver, PerChannelMinMaxObserver

import tensors
from halfstep_client import Halfstep, parameters, spec
from tally import Tally, narrowing_ties, product_ties, quotient_ties

PAST_INT32 = "|x / scale| >= 2^31"
PAST_LARGEST = "past the largest finite code"
# Name, lowest code, highest code, code type, torch's type, of affine schemes.
AFFINE = [
    ("quint8", 0, 255, "UINT", torch.quint8),
    ("qint8", -128, 127, "INT", torch.qint8),
]


def observed_per_tensor(tally, halfstep, rng):
    """MinMaxObserver, then quantize_per_tensor and dequantize of what it chose."""
    for name, low, high, code_type, dtype in AFFINE:
        for symmetric in (False, True):
            if symmetric and code_type == "UINT":
                continue  # its zero point is 128, which SYMMETRIC has not
            scheme = "SYMMETRIC" if symmetric else "ASYMMETRIC"
            how = spec(scheme=scheme, code_type=code_type, profile="PYTORCH")
            qscheme = torch.per_tensor_symmetric if symmetric else torch.per_tensor_affine
            row = f"MinMaxObserver, quantize_per_tensor, {name} {scheme.lower()}"
            for kind, matrix in tensors.matrices(rng, 5_000, low, high):
                for index, x in enumerate(matrix):
                    what = f"{kind}, row {index}"
                    if kind == tensors.ANY_SCALE:
                        x = tensors.moved_to_ties(x, observed_scale(x, symmetric))
                    observer = MinMaxObserver(dtype=dtype, qscheme=qscheme)
                    observer(torch.from_numpy(x))
                    scale, zero = observer.calculate_qparams()
                    quantized = torch.quantize_per_tensor(
                        torch.from_numpy(x), float(scale), int(zero), dtype
                    )
                    ours, our_scale, our_zero = halfstep.quantize(x, how)
                    tally.compare(row, our_scale, scale.numpy().astype(np.float64), 0, what=what)
                    if not symmetric:
                        tally.compare(row, our_zero, zero.numpy(), 0, what=what)
                    compare_codes(tally, row, ours, quantized, x, scale.numpy(), what)


def observed_scale(x, symmetric, axes=None):
    """The scale of each slice that an observer of 8 bits chooses."""
    if symmetric:
        return np.abs(x).max(axis=axes, keepdims=True) / np.float32(127.5)
    return tensors.width_with_zero(x, axes) / np.float32(255)


def compare_codes(tally, row, ours, quantized, x, scale, what):
    """`scale` as float32, of the shape of x or one that broadcasts to it."""
    quotient = (x * (np.float32(1) / scale)).reshape(-1)
    past = np.abs(quotient) >= 2.0**31
    codes = quantized.int_repr().numpy().reshape(-1)
    tally.compare(row, ours, codes, quotient_ties(quotient[~past]), past, PAST_INT32, what)


def observed_per_channel(tally, halfstep, rng):
    """PerChannelMinMaxObserver on the first and on the last axis."""
    for name, low, high, code_type, dtype in AFFINE:
        for symmetric in (False, True):
            if symmetric and code_type == "UINT":
                continue
            scheme = "SYMMETRIC" if symmetric else "ASYMMETRIC"
            qscheme = torch.per_channel_symmetric if symmetric else torch.per_channel_affine
            row = f"PerChannelMinMaxObserver, quantize_per_channel, {name} {scheme.lower()}"
            for kind, matrix in tensors.matrices(rng, 500, low, high):
                for axis in (0, 1):
                    x = np.ascontiguousarray(matrix if axis == 0 else matrix.T)
                    what = f"{kind}, axis {axis}"
                    if kind == tensors.ANY_SCALE:
                        x = tensors.moved_to_ties(
                            x, observed_scale(x, symmetric, 1 - axis), 1 - axis
                        )
                    observer = PerChannelMinMaxObserver(ch_axis=axis, dtype=dtype, qscheme=qscheme)
                    observer(torch.from_numpy(x))
                    scale, zero = observer.calculate_qparams()
                    quantized = torch.quantize_per_channel(
                        torch.from_numpy(x), scale, zero, axis, dtype
                    )
                    how = spec(scheme=scheme, code_type=code_type, profile="PYTORCH", axis=axis)
                    ours, our_scale, our_zero = halfstep.quantize(x, how)
                    tally.compare(row, our_scale, scale.numpy().astype(np.float64), 0, what=what)
                    if not symmetric:
                        tally.compare(row, our_zero, zero.numpy(), 0, what=what)
                    wide = scale.numpy().reshape((-1, 1) if axis == 0 else (1, -1))
                    compare_codes(tally, row, ours, quantized, x, wide, what)
                    if symmetric:
                        continue
                    given = parameters(how, our_scale, our_zero)
                    codes = quantized.int_repr().numpy()
                    back = halfstep.dequantize(codes, given)
                    steps = codes.astype(np.int64) - zero.numpy().reshape(wide.shape)
                    ties = product_ties(steps, np.broadcast_to(wide, x.shape))
                    wanted = quantized.dequantize().numpy()
                    tally.compare(f"dequantize, {name} per channel", back, wanted, ties, what=what)


def static_per_tensor(tally, halfstep, rng):
    """quantize_per_tensor, dequantize and fake_quantize with given parameters."""
    for name, low, high, code_type, dtype in AFFINE:
        how = spec(code_type=code_type, profile="PYTORCH")
        for kind, matrix in tensors.matrices(rng, 20_000, low, high) + [extreme(rng)]:
            for index, x in enumerate(matrix):
                what = f"{kind}, row {index}"
                scale, zero = chosen(rng, kind, x, low, high)
                if kind == tensors.ANY_SCALE:
                    x = tensors.moved_to_ties(x, scale)
                given = parameters(how, scale, zero)
                reals = torch.from_numpy(x)
                quantized = torch.quantize_per_tensor(reals, float(scale), int(zero), dtype)
                ours, _, _ = halfstep.quantize(x, given)
                compare_codes(
                    tally,
                    f"quantize_per_tensor, {name}, given scale",
                    ours,
                    quantized,
                    x,
                    scale,
                    what,
                )

                codes = quantized.int_repr().numpy()
                back = halfstep.dequantize(codes, given)
                ties = product_ties(codes.astype(np.int64) - int(zero), scale)
                tally.compare(
                    f"dequantize, {name} per tensor",
                    back,
                    quantized.dequantize().numpy(),
                    ties,
                    what=what,
                )

                fake(tally, halfstep, x, given, scale, zero, low, high, name, what)


def fake(tally, halfstep, x, given, scale, zero, low, high, name, what):
    """fake_quantize_per_tensor_affine and the mask of its backward pass."""
    leaf = torch.from_numpy(x.copy()).requires_grad_()
    faked = torch.fake_quantize_per_tensor_affine(leaf, float(scale), int(zero), low, high)
    faked.backward(torch.ones_like(faked))
    ours, mask = halfstep.fake_quantize(x, given)
    quotient = x * (np.float32(1) / scale)
    past = np.abs(quotient) >= 2.0**31
    ties = quotient_ties(quotient[~past])
    row = f"fake_quantize_per_tensor_affine, {name}"
    wanted = faked.detach().numpy()
    tally.compare(row, ours, wanted, ties, past, PAST_INT32, what)
    tally.compare(
        f"{row}: gradient mask", mask, leaf.grad.numpy() == 1, ties, past, PAST_INT32, what
    )


def extreme(rng):
    """Reals of every exponent: most quotients are past the ends, many past int32."""
    exponents = rng.uniform(-40, 60, (5, 20_000))
    return "extreme", (rng.choice([-1, 1], exponents.shape) * 2.0**exponents).astype(np.float32)


def chosen(rng, kind, x, low, high):
    """A scale, a power of two where reals sit on halves of one, and a zero point."""
    zero = np.int64(rng.integers(low, high, endpoint=True))
    if kind == "ties":
        step = float(x.max() - x.min()) / (high - low)
        return np.float32(step * 2.0 ** rng.integers(0, 2)), zero
    if kind == "extreme":
        return np.float32(2.0 ** rng.integers(-3, 4)), zero
    width = float(np.quantile(np.abs(x), 0.99)) or 1.0
    scale = width / (high - low) * 10.0 ** rng.uniform(-0.3, 1)
    if kind.startswith("bfloat16"):
        scale = 2.0 ** np.round(np.log2(scale))
    return np.float32(scale), zero


def narrowed(tally, halfstep, rng):
    """tensor.to(float16) and tensor.to(bfloat16) of float32 tensors."""
    for code_type, dtype, largest, digits in (
        ("FLOAT16", torch.float16, 65504.0, 11),
        ("BFLOAT16", torch.bfloat16, float.fromhex("0x1.fep127"), 8),
    ):
        row = f"tensor.to({str(dtype)[6:]})"
        for kind, matrix in tensors.matrices(rng, 50_000, 0, 255) + middles(rng, digits):
            for index, x in enumerate(matrix):
                patterns = torch.from_numpy(x).to(dtype).view(torch.int16).numpy().view(np.uint16)
                ours = halfstep.float_codes(x, code_type)
                # From half a step past the largest code on, torch gives infinity.
                past = torch.from_numpy(x).to(dtype).isinf().numpy()
                if code_type == "FLOAT16":
                    ties = narrowing_ties(x[~past].astype(np.float64), np.float16)
                else:
                    ties = int(((x.view(np.uint32) & 0xFFFF) == 0x8000).sum())
                tally.compare(row, ours, patterns, ties, past, PAST_LARGEST, f"{kind}, row {index}")


def middles(rng, digits):
    """Reals halfway between two numbers of `digits` bits, and their neighbours."""
    odd = 2.0 * rng.integers(2 ** (digits - 1), 2**digits, (6, 50_000)) + 1
    exact = (odd * 2.0 ** rng.integers(-30, 5, odd.shape)).astype(np.float32)
    around = np.nextafter(
        exact, np.where(rng.random(exact.shape) < 0.5, 0, np.inf).astype(np.float32)
    )
    return [("middles", exact), ("around middles", around)]


def main():
    # The machine is shared with the server.
    torch.set_num_threads(1)
    halfstep = Halfstep()
    tally = Tally("torch")
    rng = np.random.default_rng(tensors.seed())
    observed_per_tensor(tally, halfstep, rng)
    observed_per_channel(tally, halfstep, rng)
    static_per_tensor(tally, halfstep, rng)
    narrowed(tally, halfstep, rng)
    tally.write()


if __name__ == "__main__":
    main()

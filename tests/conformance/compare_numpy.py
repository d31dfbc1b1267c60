"""Profile NOTEBOOK against the notebook's own formulas, in NumPy's float64."""

import numpy as np

import tensors
from halfstep_client import Halfstep, parameters, spec
from tally import Tally, product_ties, quotient_ties

PAST_INT32 = "zero point past int32"


def asymmetric(x, bits):
    """The notebook's asymmetric_quantization: (codes, scale, zero)."""
    alpha, beta = np.max(x), np.min(x)
    scale = (alpha - beta) / (2**bits - 1)
    zero = -1 * np.round(beta / scale)
    codes = np.round(x / scale + zero)
    return np.clip(codes, 0, 2**bits - 1).astype(np.int64), scale, zero


def symmetric(x, bits):
    """The notebook's symmetric_quantization: (codes, scale)."""
    alpha = np.max(np.abs(x))
    scale = alpha / (2 ** (bits - 1) - 1)
    codes = np.round(x / scale)
    return np.clip(codes, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1).astype(np.int64), scale


def main():
    halfstep = Halfstep()
    tally = Tally("numpy")
    rng = np.random.default_rng(tensors.seed())
    for bits in (4, 8, 16):
        top = 2**bits - 1
        for kind, matrix in tensors.matrices(rng, 20_000, 0, top):
            for index, row in enumerate(matrix):
                what = f"{kind}, row {index}, {bits} bits"
                x = row.astype(np.float64)
                if kind.startswith("random") and index % 2:
                    # What only float64 holds; the range may leave zero out.
                    x = x + rng.normal(0, 1e-9, x.shape) + rng.choice([0, 1e4])
                y = x
                if kind == tensors.ANY_SCALE:
                    x = tensors.moved_to_ties(x, asymmetric(x, bits)[1])
                    y = tensors.moved_to_ties(y, symmetric(y, bits)[1])
                compare_asymmetric(tally, halfstep, x, bits, what)
                compare_symmetric(tally, halfstep, y, bits, what)
    tally.write()


def packing(bits):
    return "DENSE" if bits == 4 else "NONE"


def compare_asymmetric(tally, halfstep, x, bits, what):
    if np.max(x) == np.min(x):
        return
    codes, scale, zero = asymmetric(x, bits)
    how = spec(bits=bits, profile="NOTEBOOK", packing=packing(bits))
    ours, our_scale, our_zero = halfstep.quantize(x, how)
    row = f"asymmetric, {bits} bits: scale, zero, codes"
    past = np.full(1, abs(zero) >= 2.0**31)
    everywhere = np.broadcast_to(past, x.shape)
    tally.compare(row, our_scale, [scale], 0, past, PAST_INT32, what)
    tally.compare(row, our_zero, [zero], 0, past, PAST_INT32, what)
    ties = 0 if past[0] else quotient_ties(x / scale + zero)
    tally.compare(row, ours, codes, ties, everywhere, PAST_INT32, what)
    if past[0]:
        return
    row = f"asymmetric, {bits} bits: dequantized"
    back = halfstep.dequantize(codes, parameters(how, our_scale, our_zero), np.float64)
    ties = product_ties(codes - zero, scale)
    tally.compare(row, back, (codes - zero) * scale, ties, what=what)


def compare_symmetric(tally, halfstep, x, bits, what):
    if np.max(np.abs(x)) == 0:
        return
    codes, scale = symmetric(x, bits)
    how = spec(
        bits=bits, scheme="SYMMETRIC", code_type="INT", profile="NOTEBOOK", packing=packing(bits)
    )
    ours, our_scale, _ = halfstep.quantize(x, how)
    row = f"symmetric, {bits} bits"
    tally.compare(f"{row}: scale, codes", our_scale, [scale], 0, what=what)
    tally.compare(f"{row}: scale, codes", ours, codes, quotient_ties(x / scale), what=what)
    back = halfstep.dequantize(codes, parameters(how, our_scale, []), np.float64)
    ties = product_ties(codes, scale)
    tally.compare(f"{row}: dequantized", back, codes * scale, ties, what=what)


if __name__ == "__main__":
    main()

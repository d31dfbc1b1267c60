"""docs/numerics.md in NumPy: a second implementation, to hold the server to.

Written from the specification alone and organised differently from the core on
purpose: whole-array expressions, one broadcast pair per element, no kernels.
Section numbers are those of docs/numerics.md. The error report (section 7) is in
oracle_report.py; calibration (section 8) is not here.
"""

import dataclasses
import math
from typing import List, Optional

import numpy as np

from oracle_report import error_report

DTYPES = ("FLOAT32", "FLOAT64", "FLOAT16", "BFLOAT16")
FLOAT_CODES = ("FLOAT16", "BFLOAT16")
INT32_MAX = 2**31 - 1
INT32_MIN = -(2**31)
PYTORCH_SCALE_MIN = 2.0**-23


@dataclasses.dataclass
class Spec:
    """A resolved QuantizationSpec. axis None: the whole tensor shares a pair."""

    scheme: str = "ASYMMETRIC"
    bits: int = 8
    code_type: str = "UINT"
    profile: str = "ONNX"
    axis: Optional[int] = None
    group_size: Optional[int] = None
    packing: str = "NONE"
    non_finite: str = "REJECT"
    clamp_min: Optional[float] = None
    clamp_max: Optional[float] = None
    narrow: bool = False

    @property
    def float_codes(self):
        return self.code_type in FLOAT_CODES

    @property
    def symmetric(self):
        return self.scheme == "SYMMETRIC"

    @property
    def quant_min(self):
        if self.code_type == "UINT":
            return 0
        return -(2 ** (self.bits - 1)) + (1 if self.narrow else 0)

    @property
    def quant_max(self):
        return 2**self.bits - 1 if self.code_type == "UINT" else 2 ** (self.bits - 1) - 1

    def arithmetic(self, dtype):
        """The type T of section 1."""
        return np.float64 if dtype == "FLOAT64" or self.bits > 16 else np.float32


def resolve(dtype, rank, **choices):
    """A Spec with every default filled in (section 1) for a tensor of `rank`."""
    spec = Spec(**{k: v for k, v in choices.items() if v is not None and k != "code_type"})
    code_type = choices.get("code_type")
    spec.code_type = code_type or ("INT" if spec.symmetric else "UINT")
    if spec.float_codes:
        spec.bits = 16
    if spec.axis is not None and spec.axis < 0:
        spec.axis += rank
    T = spec.arithmetic(dtype)
    if spec.clamp_min is not None:
        spec.clamp_min = float(T(spec.clamp_min))
    if spec.clamp_max is not None:
        spec.clamp_max = float(T(spec.clamp_max))
    return spec


# --- Section 1: reals -------------------------------------------------------


def largest_finite(dtype):
    return {
        "FLOAT32": float(np.finfo(np.float32).max),
        "FLOAT64": float(np.finfo(np.float64).max),
        "FLOAT16": 65504.0,
        "BFLOAT16": float.fromhex("0x1.fep127"),
    }[dtype]


def decode_reals(dtype, data):
    """Bytes to an array of float32, or of float64 for FLOAT64. Exact."""
    if dtype == "FLOAT64":
        return np.frombuffer(data, "<f8").copy()
    if dtype == "FLOAT32":
        return np.frombuffer(data, "<f4").copy()
    if dtype == "FLOAT16":
        return np.frombuffer(data, "<f2").astype(np.float32)
    bits = np.frombuffer(data, "<u2").astype(np.uint32) << np.uint32(16)
    return bits.view(np.float32)


def encode_reals(dtype, reals):
    """Reals that `dtype` holds exactly, to bytes."""
    if dtype == "FLOAT64":
        return reals.astype("<f8").tobytes()
    if dtype == "FLOAT32":
        return reals.astype("<f4").tobytes()
    if dtype == "FLOAT16":
        return reals.astype("<f2").tobytes()
    return (reals.astype(np.float32).view(np.uint32) >> np.uint32(16)).astype("<u2").tobytes()


def round_to(dtype, reals):
    """Reals rounded once to `dtype`, past its ends to the ends; and which were."""
    if dtype == "FLOAT64":
        return reals.astype(np.float64), np.zeros(reals.shape, bool)
    wide = reals.astype(np.float64)
    if dtype == "FLOAT32":
        with np.errstate(over="ignore"):
            rounded = wide.astype(np.float32).astype(np.float64)
    else:
        # The distance of two neighbours is 2^unit, so that scaling by 2^-unit,
        # which is exact, makes the rounding one to an integer.
        digits, unit_min = (11, -24) if dtype == "FLOAT16" else (8, -133)
        finite = np.isfinite(wide)
        safe = np.where(finite, wide, 0.0)
        unit = np.maximum(np.frexp(safe)[1] - digits, unit_min)
        with np.errstate(over="ignore"):
            rounded = np.ldexp(np.rint(np.ldexp(safe, -unit)), unit)
        rounded = np.where(finite, rounded, wide)
    largest = largest_finite(dtype)
    cut = np.isfinite(wide) & (np.abs(rounded) > largest)
    rounded = np.where(cut, np.copysign(largest, wide), rounded)
    return rounded if dtype in FLOAT_CODES else rounded.astype(np.float32), cut


# --- Section 5: slices ------------------------------------------------------


def pair_grid(shape, spec):
    """The shape of the grid of pairs in row-major order."""
    if spec.axis is None:
        return ()
    if spec.group_size is None:
        return (shape[spec.axis],)
    grid = list(shape)
    grid[spec.axis] = -(-shape[spec.axis] // spec.group_size)
    return tuple(grid)


def pair_of_element(shape, spec):
    """For each element, in row-major order, the index of its pair."""
    count = math.prod(shape)
    if spec.axis is None:
        return np.zeros(count, np.int64)
    if spec.group_size is None:
        along = [1] * len(shape)
        along[spec.axis] = shape[spec.axis]
        index = np.arange(shape[spec.axis]).reshape(along)
        return np.broadcast_to(index, shape).reshape(-1)
    grid = pair_grid(shape, spec)
    index = np.arange(math.prod(grid)).reshape(grid)
    # Along the axis, element i belongs to group i // size.
    group = np.arange(shape[spec.axis]) // spec.group_size
    return np.take(index, group, axis=spec.axis).reshape(-1)


def slice_ranges(reals, usable, shape, spec):
    """lo and hi of each slice over usable elements; lo > hi where it has none."""
    low = np.where(usable, reals, np.inf).astype(reals.dtype).reshape(shape)
    high = np.where(usable, reals, -np.inf).astype(reals.dtype).reshape(shape)
    if spec.axis is None:
        low, high = low.reshape(1, -1), high.reshape(1, -1)
    elif spec.group_size is None:
        others = math.prod(n for axis, n in enumerate(shape) if axis != spec.axis)
        low = np.moveaxis(low, spec.axis, 0).reshape(shape[spec.axis], others)
        high = np.moveaxis(high, spec.axis, 0).reshape(shape[spec.axis], others)
    else:
        grid = pair_grid(shape, spec)
        size = max(1, min(spec.group_size, shape[spec.axis]))
        padding = [(0, 0)] * len(shape)
        padding[spec.axis] = (0, grid[spec.axis] * size - shape[spec.axis])
        split = grid[: spec.axis + 1] + (size,) + tuple(shape[spec.axis + 1 :])
        low = np.pad(low, padding, constant_values=np.inf).reshape(split)
        high = np.pad(high, padding, constant_values=-np.inf).reshape(split)
        low = np.moveaxis(low, spec.axis + 1, -1).reshape(math.prod(grid), size)
        high = np.moveaxis(high, spec.axis + 1, -1).reshape(math.prod(grid), size)
    return (
        np.minimum.reduce(low, axis=1, initial=np.inf),
        np.maximum.reduce(high, axis=1, initial=-np.inf),
    )


# --- Section 2: parameters from a range -------------------------------------


def _adjusted(scale, T):
    """A scale below the smallest normal number, or past the largest, cut to it."""
    limits = np.finfo(T)
    return np.clip(scale, limits.tiny, limits.max).astype(T)


def _quotient_of_width(lo, hi, q, T):
    """(hi - lo) / q; in float64 where the difference overflows float32."""
    difference = hi - lo
    quotient = difference / T(q)
    if T == np.float32:
        wide = (hi.astype(np.float64) - lo.astype(np.float64)) / np.float64(q)
        quotient = np.where(np.isinf(difference), wide.astype(np.float32), quotient)
    return quotient


def parameters_from_ranges(lo, hi, spec, dtype):
    """(scale, zero_point) of each slice; zero_point is int64 that fits int32."""
    T = spec.arithmetic(dtype)
    with np.errstate(all="ignore"):
        empty = lo > hi
        # Adding +0 turns -0.0 into 0.
        lo = np.where(empty, 0, lo).astype(T) + T(0)
        hi = np.where(empty, 0, hi).astype(T) + T(0)
        pytorch = spec.profile == "PYTORCH"
        width = spec.quant_max - spec.quant_min
        to_unit = empty if pytorch else (lo == 0) & (hi == 0)
        if spec.symmetric:
            largest = np.maximum(np.abs(lo), np.abs(hi))
            scale = largest / (T(width) / T(2) if pytorch else T(spec.quant_max))
            if pytorch:
                scale = np.maximum(scale, T(PYTORCH_SCALE_MIN))
            scale = np.where(to_unit, T(1), _adjusted(scale, T))
            return scale.astype(T), np.zeros(lo.shape, np.int64)

        with_zero = np.minimum(lo, T(0)), np.maximum(hi, T(0))
        if spec.profile == "NOTEBOOK":
            scale, z = _asymmetric(lo, hi, spec, T)
            redo = (lo == hi) | (z > INT32_MAX) | (z < INT32_MIN)
            scale_0, z_0 = _asymmetric(*with_zero, spec, T)
            scale, z = np.where(redo, scale_0, scale), np.where(redo, z_0, z)
            z = np.clip(z, INT32_MIN, INT32_MAX)
        else:
            scale, z = _asymmetric(*with_zero, spec, T)
            z = np.clip(z, spec.quant_min, min(spec.quant_max, INT32_MAX))
        scale = np.where(to_unit, T(1), scale).astype(T)
        return scale, np.where(to_unit, 0, z).astype(np.int64)


def _asymmetric(lo, hi, spec, T):
    """Scale, adjusted, and the zero point before it is saturated."""
    scale = _quotient_of_width(lo, hi, spec.quant_max - spec.quant_min, T)
    if spec.profile == "PYTORCH":
        scale = np.maximum(scale, T(PYTORCH_SCALE_MIN))
    scale = _adjusted(scale, T)
    if spec.profile == "ONNX":
        z = np.rint(T(spec.quant_min) - lo / scale)
    else:
        z = T(spec.quant_min) - np.rint(lo / scale)
    # float64 holds every int32, which float32 does not.
    return scale, z.astype(np.float64)


# --- Sections 2 to 4: codes -------------------------------------------------


@dataclasses.dataclass
class Result:
    """What Quantize and FakeQuantize return."""

    scale: List[float]
    zero_point: List[int]  # empty if symmetric or for float codes
    codes: np.ndarray  # int64; bit patterns for float codes
    reconstructed: np.ndarray  # in the dtype of the tensor
    mask: np.ndarray  # bool: where the gradient passes
    saturated: int
    non_finite: int
    clamped: int
    error: Optional[dict]


class NonFinite(Exception):
    """REJECT: the first non-finite element and how many there are."""

    def __init__(self, index, count):
        super().__init__(f"index {index}, count {count}")
        self.index = index
        self.count = count


def quantize(dtype, reals, shape, spec, scale=None, zero_point=None, measure_error=True):
    """Quantizes `reals` (decode_reals) of `shape`; statically if `scale` is given."""
    T = spec.arithmetic(dtype)
    sent_finite = np.isfinite(reals)
    x = reals.astype(T)
    with np.errstate(invalid="ignore"):
        below = x < T(spec.clamp_min) if spec.clamp_min is not None else np.zeros(x.shape, bool)
        above = x > T(spec.clamp_max) if spec.clamp_max is not None else np.zeros(x.shape, bool)
    if spec.clamp_min is not None:
        x = np.where(below, T(spec.clamp_min), x)
    if spec.clamp_max is not None:
        x = np.where(above, T(spec.clamp_max), x)
    clamped = below | above
    non_finite = ~np.isfinite(x)
    if spec.non_finite == "REJECT" and non_finite.any():
        raise NonFinite(int(np.argmax(non_finite)), int(non_finite.sum()))

    if spec.float_codes:
        values, cut = round_to(spec.code_type, np.where(non_finite, 0, x))
        largest = largest_finite(spec.code_type)
        values = np.where(x == np.inf, largest, np.where(x == -np.inf, -largest, values))
        data = encode_reals(spec.code_type, values)
        codes = np.frombuffer(data, "<u2").astype(np.int64)
        scales, zero_points = np.zeros(0, T), np.zeros(0, np.int64)
    else:
        pair = pair_of_element(shape, spec)
        if scale is None:
            lo, hi = slice_ranges(x, sent_finite, shape, spec)
            scales, zero_points = parameters_from_ranges(lo, hi, spec, dtype)
        else:
            scales = np.asarray(scale, np.float64).astype(T)
            zero_points = np.asarray(zero_point or [0] * len(scales), np.int64)
        codes, cut = _integer_codes(x, scales[pair], zero_points[pair], spec, T)

    saturated = cut & ~clamped & ~non_finite
    reconstructed = dequantize(
        codes, shape, spec, dtype, dtype, [float(s) for s in scales], zero_points.tolist()
    )
    has_zero_points = not spec.symmetric and not spec.float_codes
    error = None
    if measure_error:
        error = error_report(reals, reconstructed, sent_finite)
        error["encoded_bytes"] = (
            code_bytes(spec, len(codes))
            + len(scales) * np.dtype(T).itemsize
            + (4 * len(scales) if has_zero_points else 0)
        )
    return Result(
        scale=[float(s) for s in scales],
        zero_point=zero_points.tolist() if has_zero_points else [],
        codes=codes,
        reconstructed=reconstructed,
        mask=sent_finite & ~clamped & ~cut,
        saturated=int(saturated.sum()),
        non_finite=int((non_finite & ~clamped).sum()),
        clamped=int(clamped.sum()),
        error=error,
    )


def _integer_codes(x, scale, zero_point, spec, T):
    """Codes, and where a real's code was cut to an end."""
    z = zero_point.astype(T)
    with np.errstate(all="ignore"):
        if spec.profile == "ONNX":
            y = np.rint(x / scale) + z
        elif spec.profile == "PYTORCH":
            y = np.rint(x * (T(1) / scale)) + z
        else:
            y = np.rint(x / scale + z)
    y = y.astype(np.float64)
    nan = np.isnan(x)
    # An element that is not finite in T's arithmetic is cut only if it was real.
    y = np.where(nan, zero_point.astype(np.float64), y)
    cut = (y < spec.quant_min) | (y > spec.quant_max)
    return np.clip(y, spec.quant_min, spec.quant_max).astype(np.int64), cut & ~nan


# --- Section 6: reconstruction ----------------------------------------------


def dequantize(codes, shape, spec, dtype, to_dtype, scale, zero_point):
    """Reals of `to_dtype` (as decode_reals gives them) from codes of a `dtype` tensor."""
    if spec.float_codes:
        values = decode_reals(spec.code_type, codes.astype("<u2").tobytes())
        return as_decoded(to_dtype, round_to(to_dtype, values)[0])
    T = spec.arithmetic(dtype)
    pair = pair_of_element(shape, spec)
    scales = np.asarray(scale, np.float64).astype(T)
    zero_points = np.asarray(zero_point or [0] * len(scales), np.int64)
    with np.errstate(over="ignore"):
        products = (codes - zero_points[pair]).astype(T) * scales[pair]
    largest = T(np.finfo(T).max)
    products = np.clip(products, -largest, largest)
    return as_decoded(to_dtype, round_to(to_dtype, products)[0])


def as_decoded(dtype, reals):
    return reals.astype(np.float64 if dtype == "FLOAT64" else np.float32)


# --- Section 5: layout ------------------------------------------------------


def code_bytes(spec, count):
    if spec.packing == "DENSE":
        return (count * spec.bits + 7) // 8
    return count * code_width(spec)


def code_width(spec):
    """Bytes of one code without packing."""
    return 1 if spec.bits <= 8 else 2 if spec.bits <= 16 else 4


def encode_codes(codes, spec):
    """Codes to bytes as spec.packing lays them out."""
    if spec.packing == "NONE":
        # The lowest bytes of an int64 in two's complement.
        all_bytes = codes.astype("<i8").view(np.uint8).reshape(-1, 8)
        return all_bytes[:, : code_width(spec)].tobytes()
    fields = (codes[:, None] >> np.arange(spec.bits)) & 1
    return np.packbits(fields.astype(np.uint8).reshape(-1), bitorder="little").tobytes()


def decode_codes(data, count, spec):
    """The inverse of encode_codes; bit patterns for float codes."""
    if spec.packing == "NONE":
        width = code_width(spec)
        unsigned = np.zeros((count, 8), np.uint8)
        unsigned[:, :width] = np.frombuffer(data, np.uint8).reshape(count, width)
        codes = unsigned.view("<i8").reshape(-1)
        bits = 8 * width
    else:
        bits = spec.bits
        stream = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
        fields = stream[: count * bits].reshape(count, bits).astype(np.int64)
        codes = (fields << np.arange(bits)).sum(axis=1)
    if spec.code_type == "INT":
        codes = np.where(codes >= 1 << (bits - 1), codes - (1 << bits), codes)
    return codes


def encode_mask(mask):
    return np.packbits(mask, bitorder="little").tobytes()

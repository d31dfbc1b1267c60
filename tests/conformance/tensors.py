"""The tensors that every row is compared on.

random    normal, of several magnitudes
ties      quotients that lie exactly between two codes
bfloat16  random reals cut to bfloat16, which sit on ties far more often
real      rows of tests/data, and whatever is in ../shared/data
"""

import json
import os
import pathlib
import struct

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
# A row of the table takes so many of each made kind and all real ones; where only
# few real ones are at hand, more random ones.
MADE = 600_000
ROW_MIN = 2_100_000


def seed():
    """The seed of all random data; another one may be given from outside."""
    return int(os.environ.get("HALFSTEP_CONFORMANCE_SEED", "20240229"))


def real_tensors():
    """(name, float32 matrix) of every real tensor at hand, largest last."""
    found = {}
    for folder in (ROOT / "tests" / "data", ROOT.parent / "shared" / "data"):
        for path in sorted(folder.glob("*.npy")) if folder.is_dir() else ():
            array = np.load(path, allow_pickle=False)
            if array.dtype == np.float32 and array.ndim == 2:
                found[path.name] = np.ascontiguousarray(array)
        for path in sorted(folder.glob("*.safetensors")) if folder.is_dir() else ():
            for name, array in safetensors_float32(path):
                if array.size >= 64:
                    found[f"{path.name}:{name}"] = array.reshape(array.shape[0], -1)
    return sorted(found.items(), key=lambda item: item[1].size)


def safetensors_float32(path):
    blob = path.read_bytes()
    (size,) = struct.unpack("<Q", blob[:8])
    for name, entry in json.loads(blob[8 : 8 + size]).items():
        if entry.get("dtype") != "F32" or not entry["shape"]:
            continue
        begin, end = (8 + size + offset for offset in entry["data_offsets"])
        # torch takes no memory that it may not write to.
        array = np.frombuffer(bytearray(blob[begin:end]), np.float32).reshape(entry["shape"])
        if np.isfinite(array).all():
            yield name, array


def to_bfloat16(reals):
    """float32 reals cut to bfloat16 and kept as float32."""
    return (reals.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


def random_matrix(rng, rows, columns):
    """float32; each row of a magnitude of its own."""
    magnitude = 10.0 ** rng.uniform(-3, 3, (rows, 1))
    return (rng.normal(0, 1, (rows, columns)) * magnitude).astype(np.float32)


def tie_matrix(rng, rows, columns, low, high):
    """float32 rows for dynamic ranges of the codes low..high.

    Every row spans exactly low * step to high * step with step a power of two, so
    that the scale is the step and halves of it are ties.
    """
    step = 2.0 ** rng.integers(-12, 12, (rows, 1))
    shift = rng.integers(low, high, (rows, 1), endpoint=True)
    halves = rng.integers(2 * low, 2 * high, (rows, columns), endpoint=True) / 2.0
    halves[:, 0], halves[:, 1] = low, high
    return ((halves - shift) * step).astype(np.float32)


ANY_SCALE = "ties of any scale"


def moved_to_ties(x, scale, axes=None):
    """`x` with its reals moved to halves of `scale`, each slice's extremes kept.

    `axes`  the axes over which a slice runs; None: all of them.
    """
    lowest, highest = x.min(axis=axes, keepdims=True), x.max(axis=axes, keepdims=True)
    halves = (np.floor(x / scale) + x.dtype.type(0.5)) * scale
    extreme = (x == lowest) | (x == highest)
    return np.where(extreme, x, np.clip(halves, lowest, highest)).astype(x.dtype)


def width_with_zero(x, axes=None):
    """max(hi, 0) - min(lo, 0) of each slice, in the type of x."""
    zero = x.dtype.type(0)
    highest = np.maximum(x.max(axis=axes, keepdims=True), zero)
    return highest - np.minimum(x.min(axis=axes, keepdims=True), zero)


def matrices(rng, columns, low, high, with_ties=True):
    """(kind, float32 matrix of `columns`) for one row of the table."""
    rows = MADE // columns
    made = [
        ("random", random_matrix(rng, rows, columns)),
        ("bfloat16", to_bfloat16(random_matrix(rng, rows, columns))),
        # Whoever compares moves them, to halves of the scale that is then chosen.
        (ANY_SCALE, random_matrix(rng, rows, columns)),
    ]
    if with_ties:
        made.append(("ties", tie_matrix(rng, rows, columns, low, high)))
    total = sum(matrix.size for _, matrix in made)
    for name, matrix in real_tensors():
        flat = matrix.reshape(-1)
        usable = flat[: flat.size // columns * columns]
        if usable.size:
            made.append((f"real {name}", usable.reshape(-1, columns)))
            total += usable.size
    if total < ROW_MIN:
        missing = -(-(ROW_MIN - total) // columns)
        made.append(("more random", random_matrix(rng, missing, columns)))
    return made

"""Section 7 of docs/numerics.md, the error report, in NumPy: a part of oracle.py."""

import math
import struct

import numpy as np

BLOCK = 65536
NAN = struct.unpack("<d", struct.pack("<Q", 0x7FF8000000000000))[0]


def ordered_sum(terms):
    """The sum of float64 terms in the one order of section 7."""
    count = len(terms)
    blocks = -(-count // BLOCK)
    padded = np.zeros(blocks * BLOCK)
    padded[:count] = terms
    # A sequential sum in each of 8 lanes of each block: cumsum adds in order.
    lanes = np.zeros((blocks, 8))
    steps = padded.reshape(blocks, BLOCK // 8, 8)
    for step in range(BLOCK // 8 if count >= BLOCK else -(-count // 8)):
        lanes += steps[:, step, :]
    a = lanes.T
    total = 0.0
    if blocks:
        for part in ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7])):
            total = total + float(part)
    return total


def error_report(reals, reconstructed, usable):
    """Section 7, without encoded_bytes."""
    report = {
        "element_count": int(usable.sum()),
        "mean_squared_error": 0.0,
        "mean_absolute_error": 0.0,
        "max_absolute_error": 0.0,
        "max_absolute_error_index": 0,
        "sqnr_db": 0.0,
        "cosine_similarity": 0.0,
        "encoded_bytes": 0,
    }
    if report["element_count"] == 0:
        return report
    # An element that is left out adds zero to every sum, which changes none.
    r = np.where(usable, reals, 0).astype(np.float64)
    d = np.where(usable, reconstructed, 0).astype(np.float64)
    with np.errstate(all="ignore"):
        e = r - d
        squares, signal, kept, dot = (ordered_sum(t) for t in (e * e, r * r, d * d, r * d))
        absolute = np.abs(e)
        count = float(report["element_count"])
        # Python's own division raises where IEEE's gives infinity or NaN.
        report["mean_squared_error"] = float(np.float64(squares) / count)
        report["mean_absolute_error"] = float(np.float64(ordered_sum(absolute)) / count)
        largest = absolute.max()
        report["max_absolute_error"] = float(largest)
        report["max_absolute_error_index"] = int(np.argmax(usable & (absolute == largest)))
        report["sqnr_db"] = sqnr_db(signal, squares)
        if signal == 0 and kept == 0:
            cosine = 1.0
        elif signal == 0 or kept == 0:
            cosine = 0.0
        else:
            cosine = float(np.float64(dot) / (np.sqrt(signal) * np.sqrt(kept)))
        report["cosine_similarity"] = NAN if math.isnan(cosine) else cosine
    return report


def sqnr_db(signal, squares):
    if squares == 0:
        return math.inf
    with np.errstate(all="ignore"):
        ratio = float(np.float64(signal) / np.float64(squares))
    if math.isnan(ratio):
        return NAN
    if ratio == 0:
        return -math.inf
    if math.isinf(ratio):
        return math.inf
    return 10.0 * fixed_log10(ratio)


LOG10_2_HIGH = float.fromhex("0x1.34413509f7800p-2")
LOG10_2_LOW = float.fromhex("0x1.fef311f12b358p-46")
LOG10_E = float.fromhex("0x1.bcb7b1526e50ep-2")


def fixed_log10(x):
    """log10 of a positive finite number by the sequence of section 7."""
    shift = 0
    if x < 2.0**-1022:
        x *= 2.0**54
        shift = -54
    m, e = math.frexp(x)
    m, e = m * 2.0, e - 1
    if m >= 1.4142135623730951:
        m, e = m * 0.5, e + 1
    e += shift
    f = (m - 1.0) / (m + 1.0)
    s = f * f
    p = 1.0 / 25.0
    for n in range(23, 0, -2):
        p = p * s + 1.0 / n
    ln = (f + f) * p
    return e * LOG10_2_HIGH + (e * LOG10_2_LOW + ln * LOG10_E)

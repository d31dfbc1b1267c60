"""Rows of the table: values compared, those on a tie, those left out, mismatches."""

import collections
import json
import os

import numpy as np


class Tally:
    """Collects the rows of one runtime; write() leaves them for report.py."""

    def __init__(self, runtime):
        self._runtime = runtime
        self._rows = collections.OrderedDict()

    def compare(self, row, ours, theirs, ties, left_out=None, reason=None, what=""):
        """Compares two arrays element by element, bit for bit.

        `ties`      how many of the compared values sit on a tie.
        `left_out`  mask of elements not to compare, for the stated `reason`.
        `what`      the input, to repeat a mismatch with.
        """
        ours, theirs = np.asarray(ours).reshape(-1), np.asarray(theirs).reshape(-1)
        assert ours.shape == theirs.shape, (row, ours.shape, theirs.shape)
        differ = ours != theirs
        if ours.dtype.kind == "f":
            # The sign of zero counts, too.
            differ |= np.signbit(ours) != np.signbit(theirs)
        entry = self._rows.setdefault(
            row,
            {
                "runtime": self._runtime,
                "row": row,
                "compared": 0,
                "ties": 0,
                "left_out": {},
                "mismatches": 0,
                "first": None,
            },
        )
        if left_out is not None and left_out.any():
            out = entry["left_out"]
            out[reason] = out.get(reason, 0) + int(left_out.sum())
            differ &= ~left_out
        entry["compared"] += ours.size - (0 if left_out is None else int(left_out.sum()))
        entry["ties"] += int(ties)
        entry["mismatches"] += int(differ.sum())
        if differ.any() and entry["first"] is None:
            at = int(np.argmax(differ))
            entry["first"] = f"{what} [{at}]: {ours[at]!r} here, {theirs[at]!r} there"

    def write(self):
        path = os.path.join(os.environ["HALFSTEP_CONFORMANCE_OUT"], f"{self._runtime}.json")
        with open(path, "w") as file:
            json.dump(list(self._rows.values()), file)


def quotient_ties(quotient):
    """How many quotients lie exactly between two integers."""
    with np.errstate(invalid="ignore"):
        return int((np.abs(quotient - np.floor(quotient)) == 0.5).sum())


def product_ties(integers, scale):
    """How many products lie exactly between two numbers of the scale's type.

    With the scale as an integer of `digits` bits, a product whose lowest `drop`
    bits do not fit is a tie if these are 100...0. Integers have 17 bits at most, so
    the low bits survive the wrap of 64-bit integers. Normal results only.
    """
    scale = np.asarray(scale)
    digits = np.finfo(scale.dtype).nmant + 1
    mantissa = np.ldexp(np.frexp(scale.astype(np.float64))[0], digits).astype(np.uint64)
    magnitude = np.abs(integers).astype(np.uint64)
    length = np.frexp(mantissa.astype(np.float64) * magnitude.astype(np.float64))[1]
    drop = np.maximum(length - digits, 0).astype(np.uint64)
    one = np.uint64(1)
    low = (mantissa * magnitude) & ((one << drop) - one)
    return int(((drop > 0) & (low == (one << drop) >> one)).sum())


def narrowing_ties(exact, narrow):
    """How many finite float64 numbers lie exactly between two `narrow` ones."""
    with np.errstate(over="ignore"):
        rounded = exact.astype(narrow)
        other = np.nextafter(rounded, np.where(exact > rounded, np.inf, -np.inf).astype(narrow))
    inexact = exact != rounded
    middle = np.abs(exact - rounded.astype(np.float64)) == np.abs(other.astype(np.float64) - exact)
    return int((inexact & middle & np.isfinite(other)).sum())

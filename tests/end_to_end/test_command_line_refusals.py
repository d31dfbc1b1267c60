"""What `halfstep` says to bad input: one line, a code that is not 0, and nothing
left behind."""
import os
import pathlib
import pickle
import subprocess

import numpy as np
import pytest

from command_line import (
    FILE, MATRIX, PARAMS, REFUSED, UNREACHABLE, USAGE, files, folder, refusal,
)
from server_process import binary

pytestmark = pytest.mark.usefixtures(folder.__name__)


def broken_files():
    good = pathlib.Path("good.npy")
    np.save(good, np.arange(12, dtype=np.float32).reshape(3, 4))
    saved = good.read_bytes()
    good.unlink()
    negative = saved.replace(b"(3, 4)", b"(3,-4)")
    huge = saved.replace(b"(3, 4), }         ", b"(4294967296, 4294967296), }")
    return {
        "empty": b"",
        "text": b"1,2,3\n",
        "magic_only": saved[:6],
        "cut_in_header": saved[:40],
        "cut_in_elements": saved[:-1],
        "trailing": saved + b"\0",
        "negative_dimension": negative,
        "overflowing_shape": huge[:128] + saved[128:],
        "version_9": saved[:6] + b"\x09" + saved[7:],
        "header_past_end": saved[:8] + b"\xff\xff" + saved[10:],
        "archive": b"PK\x03\x04" + saved,
        "pickle": pickle.dumps([1.0, 2.0]),
    }


BROKEN = ["empty", "text", "magic_only", "cut_in_header", "cut_in_elements", "trailing",
          "negative_dimension", "overflowing_shape", "version_9", "header_past_end", "archive",
          "pickle"]


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_refused(name):
    path = pathlib.Path("a.npy")
    path.write_bytes(broken_files()[name])
    assert "a.npy: " in refusal("quantize", "a.npy", "-o", "b", code=FILE)
    assert files() == ["a.npy"]


def test_every_broken_file_is_tried():
    assert sorted(broken_files()) == sorted(BROKEN)


class Trap:
    """An object whose unpickling leaves a trace."""

    def __reduce__(self):
        return (os.mkdir, ("trapped",))


def test_a_pickled_array_is_refused_and_not_loaded():
    np.save("a.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    assert "pickle" in refusal("quantize", "a.npy", "-o", "b", code=FILE)
    assert files() == ["a.npy"]


@pytest.mark.parametrize("dtype", ["int64", "int8", "complex64", "bool", "U3", "V2"])
def test_arrays_of_other_types_are_refused(dtype):
    np.save("a.npy", np.zeros(3, dtype=dtype))
    assert "must be" in refusal("quantize", "a.npy", "-o", "b", code=FILE)
    assert files() == ["a.npy"]


def test_a_missing_file():
    line = refusal("quantize", "nothing.npy", "-o", "b", code=FILE)
    assert "nothing.npy" in line and "No such file" in line
    assert "b.json" in refusal("dequantize", "b", "-o", "c.npy", code=FILE)
    assert "nothing.npy" in refusal("error", MATRIX, "nothing.npy", code=FILE)
    assert "p.json" in refusal("quantize", MATRIX, "--parameters", "p.json", code=FILE)
    assert "not a regular file" in refusal("quantize", ".", code=FILE)
    assert files() == []


@pytest.mark.parametrize("target", ["missing/b", "/proc/b", "a.npy/b"])
def test_an_unwritable_output(target):
    np.save("a.npy", PARAMS)
    assert "cannot be written" in refusal("quantize", "a.npy", "-o", target, code=FILE)
    assert "cannot be written" in refusal("generate", "-o", target + ".npy", code=FILE)
    assert files() == ["a.npy"]


def test_neither_file_is_left_if_one_cannot_be_written():
    os.mkdir("b.json")
    assert "b.json" in refusal("quantize", MATRIX, "-o", "b", code=FILE)
    assert files() == ["b.json"]


def test_a_device_is_not_replaced():
    os.symlink("/dev/null", "null.npy")
    assert "not a regular file" in refusal("generate", "-o", "null.npy", code=FILE)
    assert os.path.exists("/dev/null") and not os.path.isfile("/dev/null")


def test_the_input_is_not_overwritten():
    np.save("a.npy", PARAMS)
    assert "must be another file" in refusal("quantize", "a.npy", "-o", "a", code=USAGE)
    assert np.array_equal(np.load("a.npy"), PARAMS)


def test_a_full_standard_output_is_an_error():
    with open("/dev/full", "w") as full:
        done = subprocess.run([binary("halfstep"), "generate"], stdout=full,
                              stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == FILE
    assert "standard output" in done.stderr


@pytest.mark.parametrize("arguments, field", [
    (["--values", "1,2", "--bits", "33"], "spec.bits"),
    (["--values", "1,2", "--bits", "1", "--scheme", "symmetric"], "spec."),
    (["--values", "1,2", "--scheme", "symmetric", "--code-type", "uint"], "spec."),
    (["--values", "1,2", "--axis", "7"], "spec.granularity.axis"),
    (["--values", "1,2", "--clamp-min", "2", "--clamp-max", "1"], "spec.clamp"),
    (["--values", "1,nan,inf"], "tensor"),
    (["--values", "1,2,3", "--shape", "2,2"], "tensor"),
    (["--values", "1,2", "--shape", "-1,-2"], "tensor.shape"),
])
def test_what_the_server_refuses(arguments, field):
    line = refusal("quantize", *arguments, "-o", "b", code=REFUSED)
    assert line.startswith(f"halfstep: {field}"), line
    assert files() == []


@pytest.mark.parametrize("arguments", [
    [],
    ["nothing"],
    ["quantize"],
    ["quantize", "a.npy", "--values", "1"],
    ["quantize", "--values", "1,x"],
    ["quantize", "--values", "1", "--bits", "many"],
    ["quantize", "--values", "1", "--bits", "-1"],
    ["quantize", "--values", "1", "--scheme", "both"],
    ["quantize", "--values", "1", "--parameters", "p.json", "--bits", "4"],
    ["quantize", "a.npy", "--dtype", "float32"],
    ["quantize", "a.npy", "b.npy"],
    ["quantize", "--values", "1", "-o", "."],
    ["quantize", "--values", "1", "-o", "b/"],
    ["quantize", "--values", "1", "-o", ".npy"],
    ["dequantize"],
    ["error", "a.npy"],
    ["info", "--server", "localhost"],
    ["info", "--server", "localhost:port"],
    ["info", "--timeout", "0"],
    ["info", "--timeout", "soon"],
    ["--unknown", "info"],
])
def test_a_wrong_command_line(arguments):
    refusal(*arguments, code=USAGE)


def test_no_server():
    np.save("a.npy", PARAMS)
    for arguments in (["quantize", "a.npy", "-o", "b"], ["info"], ["health"]):
        line = refusal(*arguments, "--server", "127.0.0.1:1", code=UNREACHABLE)
        assert "127.0.0.1:1" in line
    assert files() == ["a.npy"]


@pytest.mark.parametrize("arguments, named", [
    (["--edit", "15=0"], "below 15"),
    (["--edit", "0"], "INDEX=WHAT"),
    (["--edit", "x=0"], "INDEX=WHAT"),
    (["--edit", "-1=0"], "INDEX=WHAT"),
    (["--edit", "0=max1"], "--edit: 0=max1"),
    (["--edit", "0=nan"], "finite"),
    (["--edit", "0=mean"], "--edit: 0=mean"),
    (["--seed", "-1"], "--seed"),
    (["--seed", str(2**32)], "--seed"),
    (["--size", "-1"], "--size"),
    (["--size", str(10**12)], "--size"),
    (["--round", "23"], "--round"),
    (["--low", "-1e308", "--high", "1e308"], "--high"),
    (["--low", "nan"], "--low"),
])
def test_generate_refuses(arguments, named):
    assert named in refusal("generate", "-o", "p.npy", *arguments, code=USAGE)
    assert files() == []

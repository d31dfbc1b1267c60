"""The program `halfstep`, as a person or a script uses it.

What it prints and writes is compared with NumPy's own arithmetic in this file,
or, for the notebook's sections, with the text that the project promises.
"""
import json
import pathlib
import re
import signal

import numpy as np
import pytest

from command_line import (
    MATRIX, PARAMS, PARAMS_SYMMETRIC, UNREACHABLE, files, folder, output, refusal, reply,
)

pytestmark = pytest.mark.usefixtures(folder.__name__)

# What the demonstration must print, character by character.
DEMO = """\
Original:
[199.93  -9.18   0.     7.15 123.22 101.24 182.75  88.28  58.65  -8.18
  -4.92 159.37 110.   159.67 198.93]

Asymmetric scale: 0.8200388235294118, zero: 11.0
[255   0  11  20 161 134 234 119  83   1   5 205 145 206 254]

Symmetric scale: 1.5742842519685039
[127  -6   0   5  78  64 116  56  37  -5  -3 101  70 101 126]

Original:
[199.93  -9.18   0.     7.15 123.22 101.24 182.75  88.28  58.65  -8.18
  -4.92 159.37 110.   159.67 198.93]

Dequantize Asymmetric:
[200.09  -9.02   0.     7.38 123.01 100.86 182.87  88.56  59.04  -8.2
  -4.92 159.09 109.89 159.91 199.27]

Dequantize Symmetric:
[199.93  -9.45   0.     7.87 122.79 100.75 182.62  88.16  58.25  -7.87
  -4.72 159.   110.2  159.   198.36]

  Asymmetric error: 0.05
   Symmetric error: 0.15

Original:
[-16.89 -14.74  -9.85  -2.17 -13.59 -13.89  -5.13  -7.43  -2.02  -4.61
  13.66  12.95   4.74   5.53   5.09   8.93   7.38   2.57  16.8   13.47]

Symmetric scale: 0.13297997866141734
[-127 -111  -74  -16 -102 -104  -39  -56  -15  -35  103   97   36   42
   38   67   55   19  126  101]

Original:
[-16.89 -14.74  -9.85  -2.17 -13.59 -13.89  -5.13  -7.43  -2.02  -4.61
  13.66  12.95   4.74   5.53   5.09   8.93   7.38   2.57  16.8   13.47]

Dequantize Symmetric:
[-16.89 -14.76  -9.84  -2.13 -13.56 -13.83  -5.19  -7.45  -1.99  -4.65
  13.7   12.9    4.79   5.59   5.05   8.91   7.31   2.53  16.76  13.43]

   Symmetric error: 0.00159
"""


# --- The notebook --------------------------------------------------------


def test_demo_prints_the_notebooks_sections():
    assert output("demo") == DEMO


def test_demo_prints_the_same_from_a_server(server):
    assert output("demo", "--server", server.address) == DEMO


def test_demo_asks_the_server():
    assert "no server" in refusal("demo", "--server", "127.0.0.1:1", code=UNREACHABLE)


def notebook(params, params_symmetric):
    """The notebook's cells: its own arithmetic, its own prints."""
    lines = []

    def show(title, reals):
        lines.extend([f"{title}:", str(np.round(reals, 2)), ""])

    def asymmetric(x):
        scale = (x.max() - x.min()) / 255
        zero = -1 * np.round(x.min() / scale)
        return np.clip(np.round(x / scale + zero), 0, 255).astype(np.int32), scale, zero

    def symmetric(x):
        scale = np.max(np.abs(x)) / 127
        return np.clip(np.round(x / scale), -128, 127).astype(np.int32), scale

    def error(x, y, decimals):
        return np.round(np.mean((x - y) ** 2), decimals)

    with np.printoptions(suppress=True):
        codes_a, scale_a, zero_a = asymmetric(params)
        codes_s, scale_s = symmetric(params)
        back_a, back_s = (codes_a - zero_a) * scale_a, codes_s * scale_s
        show("Original", params)
        lines += [f"Asymmetric scale: {scale_a}, zero: {zero_a}", str(codes_a), ""]
        lines += [f"Symmetric scale: {scale_s}", str(codes_s), ""]
        show("Original", params)
        show("Dequantize Asymmetric", back_a)
        show("Dequantize Symmetric", back_s)
        lines.append(f'{"Asymmetric error: ":>20}{error(params, back_a, 2)}')
        lines.append(f'{"Symmetric error: ":>20}{error(params, back_s, 2)}')
        lines.append("")
        codes, scale = symmetric(params_symmetric)
        show("Original", params_symmetric)
        lines += [f"Symmetric scale: {scale}", str(codes), ""]
        show("Original", params_symmetric)
        show("Dequantize Symmetric", codes * scale)
        lines.append(f'{"Symmetric error: ":>20}{error(params_symmetric, codes * scale, 5)}')
    return "\n".join(lines) + "\n"


def test_demo_text_is_what_the_notebook_computes():
    assert notebook(PARAMS, PARAMS_SYMMETRIC) == DEMO


@pytest.mark.parametrize("seed", [1, 7, 20240229])
def test_demo_follows_its_input(seed):
    random = np.random.RandomState(seed)
    params = np.round(random.uniform(-50, 150, 31), 4)
    params_symmetric = random.uniform(-3, 3, 12)
    np.save("a.npy", params)
    np.save("s.npy", params_symmetric)
    assert output("demo", "--tensor", "a.npy", "--symmetric-tensor", "s.npy") == notebook(
        params, params_symmetric
    )


# --- Generate ------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 42, 123456789, 2**32 - 1])
def test_generate_equals_numpy(seed):
    np.random.seed(seed)
    params = np.random.uniform(low=-20, high=200, size=15)
    params[0] = params.max() + 1
    params[1] = params.min() - 1
    params[2] = 0
    params = np.round(params, 4)
    arguments = ["generate", "--low", -20, "--high", 200, "--size", 15, "--seed", seed]
    for edit in ("0=max+1", "1=min-1", "2=0"):
        arguments += ["--edit", edit]
    printed = output(*arguments, "--round", 4, "-o", "params.npy")
    with np.printoptions(suppress=True):
        assert printed == f"{params}\n"
    written = np.load("params.npy")
    assert written.dtype == np.float64
    assert written.tobytes() == params.tobytes()
    assert reply(*arguments, "--round", 4)["tensor"]["values"] == params.tolist()


def test_generate_edits_see_those_before():
    np.random.seed(3)
    params = np.random.uniform(0, 1, 3000)
    params[1] = 5
    params[2999] = params.max() + 0.25
    params[0] = -1e-3
    params[2] = params.min()
    output("generate", "--low", 0, "--high", 1, "--size", 3000, "--seed", 3, "--edit", "1=5",
           "--edit", "2999=max+0.25", "--edit", "0=-1e-3", "--edit", "2=min", "-o", "p.npy")
    assert np.load("p.npy").tobytes() == params.tobytes()


# --- Quantize and dequantize through files -------------------------------


def onnx_asymmetric(x, bits):
    """docs/numerics.md, section 2, profile ONNX, in x's own arithmetic."""
    T = x.dtype.type
    quant_max = 2**bits - 1
    low, high = min(x.min(), T(0)), max(x.max(), T(0))
    scale = T(high - low) / T(quant_max)
    zero = int(np.clip(np.rint(T(0) - low / scale), 0, quant_max))
    codes = np.clip(np.rint(x / scale) + T(zero), 0, quant_max)
    return codes.astype(np.int64), scale, zero


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bits, code_dtype", [(4, "u1"), (8, "u1"), (12, "<u2")])
def test_quantize_and_dequantize_equal_numpy(server, dtype, bits, code_dtype):
    x = np.random.RandomState(bits).normal(3, 20, (7, 11, 5)).astype(dtype)
    np.save("a.npy", x)
    codes, scale, zero = onnx_asymmetric(x, bits)

    told = output("quantize", "a.npy", "-o", "b", "--bits", bits, "--server", server.address)
    assert "b.npy, b.json" in told
    written = np.load("b.npy")
    assert written.dtype == np.dtype(code_dtype)
    assert written.shape == x.shape
    assert np.array_equal(written, codes)
    described = json.loads(pathlib.Path("b.json").read_text())
    assert described["shape"] == list(x.shape)
    assert described["dtype"] == "DATA_TYPE_" + x.dtype.name.upper()
    assert described["parameters"]["scale"] == [float(scale)]
    assert described["parameters"]["zero_point"] == [zero]

    output("dequantize", "b", "-o", "c.npy", "--server", server.address)
    back = np.load("c.npy")
    expected = (codes - zero).astype(dtype) * scale
    assert back.dtype == dtype
    assert back.tobytes() == expected.tobytes()
    assert files() == ["a.npy", "b.json", "b.npy", "c.npy"]


def test_static_quantization_takes_the_parameters_of_a_file():
    np.save("a.npy", PARAMS)
    output("quantize", "a.npy", "-o", "a_codes", "--scheme", "symmetric", "--profile", "notebook")
    np.save("b.npy", np.array([-203.0, 1.0, 500.0]))
    replied = reply("quantize", "b.npy", "--parameters", "a_codes.json")
    assert replied["tensor"]["parameters"]["scale"] == [1.5742842519685039]
    assert replied["tensor"]["values"] == [-128, 1, 127]
    assert replied["cuts"]["saturated_count"] == 2


def test_dense_codes_go_through_files_and_back():
    x = np.load(MATRIX)
    output("quantize", MATRIX, "-o", "loose", "--bits", 3, "--axis", 0)
    output("quantize", MATRIX, "-o", "dense", "--bits", 3, "--axis", 0, "--packing", "dense")
    loose, dense = np.load("loose.npy"), np.load("dense.npy")
    fields = (loose.reshape(-1, 1) >> np.arange(3)) & 1
    assert np.array_equal(dense, np.packbits(fields.astype(np.uint8), bitorder="little"))
    for base in ("loose", "dense"):
        output("dequantize", base, "-o", base + "_reals.npy")
    reals = np.load("loose_reals.npy")
    assert reals.shape == x.shape
    assert reals.tobytes() == np.load("dense_reals.npy").tobytes()


def test_fortran_order_and_big_endian_are_the_same_tensor():
    x = np.random.RandomState(5).normal(size=(6, 9)).astype(np.float32)
    np.save("c.npy", x)
    np.save("f.npy", np.asfortranarray(x.astype(">f4")))
    for name in "cf":
        output("quantize", f"{name}.npy", "-o", f"{name}_codes", "--axis", 1)
    assert np.array_equal(np.load("c_codes.npy"), np.load("f_codes.npy"))
    assert pathlib.Path("c_codes.json").read_text() == pathlib.Path("f_codes.json").read_text()


def test_values_on_the_command_line():
    replied = reply("quantize", "--values", "-1,0.5,2", "--bits", 2, "--error")
    assert replied["tensor"]["values"] == [0, 1, 3]
    assert replied["tensor"]["parameters"]["scale"] == [1.0]
    assert replied["error"]["element_count"] == 3
    replied = reply("quantize", "--values", "1,2,3,4,5,6", "--shape", "2,3", "--dtype",
                    "bfloat16", "--axis", 0)
    assert replied["tensor"]["shape"] == [2, 3]
    assert replied["tensor"]["dtype"] == "DATA_TYPE_BFLOAT16"
    assert len(replied["tensor"]["parameters"]["scale"]) == 2


def test_values_can_be_written_too():
    output("quantize", "--values", "-3,0,3", "--scheme", "symmetric", "-o", "b")
    assert np.load("b.npy").tolist() == [-127, 0, 127]
    output("dequantize", "b", "-o", "c.npy")
    np.testing.assert_allclose(np.load("c.npy"), [-3, 0, 3], rtol=1e-15)


def test_dequantize_to_another_type():
    np.save("a.npy", PARAMS)
    output("quantize", "a.npy", "-o", "b")
    for dtype in ("float16", "float32", "float64"):
        output("dequantize", "b", "-o", "c.npy", "--dtype", dtype)
        assert np.load("c.npy").dtype == np.dtype(dtype)


def test_fake_quantize_is_dequantize_of_quantize():
    output("quantize", MATRIX, "-o", "b", "--bits", 4, "--clamp-max", 1.0)
    output("dequantize", "b", "-o", "c.npy")
    told = output("fake-quantize", MATRIX, "--bits", 4, "--clamp-max", 1.0, "-o", "f.npy",
                  "--mask", "mask.npy")
    assert "f.npy" in told and "mask.npy" in told
    assert np.load("f.npy").tobytes() == np.load("c.npy").tobytes()
    assert np.array_equal(np.load("mask.npy"), np.load(MATRIX) <= 1.0)


def test_error_compares_with_reals_and_with_codes():
    output("quantize", MATRIX, "-o", "b", "--bits", 5)
    output("dequantize", "b", "-o", "c.npy")
    with_codes = reply("error", MATRIX, "b")["error"]
    with_reals = reply("error", MATRIX, "c.npy")["error"]
    measured = reply("quantize", MATRIX, "--bits", 5, "--error", "-o", "d")["error"]
    assert with_codes == measured
    x, y = np.load(MATRIX).astype(float), np.load("c.npy").astype(float)
    # The order of a sum of 1e5 terms changes at most its last digits.
    assert with_reals["mean_squared_error"] == pytest.approx(np.mean((x - y) ** 2), rel=1e-10)
    assert with_reals["max_absolute_error"] == np.abs(x - y).max()
    assert with_reals["element_count"] == x.size


def test_infinity_is_a_string_in_json():
    assert reply("quantize", "--values", "0,0", "--error")["error"]["sqnr_db"] == "Infinity"


def test_large_tensors_fit_through_both_kinds_of_server(server):
    x = np.random.RandomState(1).normal(size=(3000, 1000)).astype(np.float32)
    np.save("a.npy", x)
    output("quantize", "a.npy", "-o", "b")
    output("quantize", "a.npy", "-o", "c", "--server", server.address)
    assert np.array_equal(np.load("b.npy"), np.load("c.npy"))


# --- Servers -------------------------------------------------------------


def test_info_and_health(server):
    info = reply("info", "--server", server.address)
    assert info["numerics_version"] == 1
    assert info["max_message_bytes"] == 256 << 20
    assert output("health", "--server", server.address) == "SERVING\n"
    assert server.address in output("info", "--server", server.address)


def test_the_environment_names_the_server(server):
    assert server.address in output("info", env={"HALFSTEP_SERVER": server.address})
    assert "no server" in refusal(
        "info", code=UNREACHABLE, env={"HALFSTEP_SERVER": "127.0.0.1:1"}
    )


def test_a_unix_socket(start_server, tmp_path):
    running = start_server(listen=[f"unix:{tmp_path}/s"])
    assert output("health", "--server", running.address) == "SERVING\n"


def test_a_server_that_never_answers(start_server):
    running = start_server()
    running.process.send_signal(signal.SIGSTOP)
    try:
        assert "--timeout" in refusal(
            "info", "--server", running.address, "--timeout", "0.5", code=UNREACHABLE
        )
    finally:
        running.process.send_signal(signal.SIGCONT)


# --- Help ----------------------------------------------------------------

COMMANDS = ["demo", "generate", "quantize", "dequantize", "fake-quantize", "error", "info",
            "health"]


def test_help_documents_the_exit_codes():
    printed = output("--help")
    for code in ("0  done", "1  the server refused", "2  the command line", "3  a file",
                 "4  no server"):
        assert code in printed
    for command in COMMANDS:
        assert re.search(rf"^ +{command} ", printed, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command):
    printed = output(command, "--help")
    assert f"Example:\n  halfstep {command}" in printed

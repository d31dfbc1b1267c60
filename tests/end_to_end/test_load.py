"""halfstep load, from outside."""
import csv
import json
import os
import pty
import signal
import socket
import struct
import subprocess
import time

import pytest

from command_line import DONE, REFUSED, UNREACHABLE, USAGE, folder, halfstep, refusal  # noqa: F401
from flipping_proxy import FlippingProxy
from server_process import binary

INTERRUPTED = 130
WAIT_SECONDS = 120
QUICK = ("--duration", "0.5s", "--warmup", "0.1s")
# For calls that a sanitizer makes take a good part of a second each.
SLOW = ("--duration", "2s", "--warmup", "0.1s", "--concurrency", "2")

pytestmark = pytest.mark.usefixtures("folder")


def run(*arguments):
    """The results of a run that must succeed."""
    done = halfstep("load", *arguments, "--json")
    assert done.returncode == DONE, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


class Started:
    """A run in the background."""

    def __init__(self, *arguments):
        self._process = subprocess.Popen(
            [binary("halfstep"), "load", *arguments, "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def interrupt(self, which=signal.SIGINT):
        self._process.send_signal(which)

    def result(self):
        """Its exit code, results and lines on standard error."""
        try:
            stdout, stderr = self._process.communicate(timeout=WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            raise
        return self._process.returncode, json.loads(stdout), stderr.splitlines()


def check_kept(results):
    """What was measured before a run was stopped is there, as partial."""
    assert results["partial"] is True
    step = results["steps"][-1]
    assert step["partial"] is True
    assert step["ok"] > 0
    assert step["calls_per_second"] > 0
    assert step["latency_seconds"]["p50"] > 0
    return step


def test_a_closed_loop(server):
    results = run("--server", server.address, "--concurrency", "3", *QUICK)
    (step,) = results["steps"]
    assert results["partial"] is False
    assert results["server"]["numerics_version"] == 1
    assert (step["loop"], step["concurrency"]) == ("closed", 3)
    assert step["calls"] == step["ok"] > 0
    assert step["errors"] == {}
    latency = step["latency_seconds"]
    order = ["min", "p50", "p90", "p99", "p99.9", "p99.99", "max"]
    assert [latency[name] for name in order] == sorted(latency[name] for name in order)
    # Little's law: calls in flight = rate * time in flight, here to within what starts
    # and ends.
    in_flight = step["calls_per_second"] * latency["mean"]
    assert 1.5 < in_flight < 3.6
    # 64 KiB of reals, and a header.
    per_call = 1e9 * step["gb_per_second_in"] / step["calls_per_second"]
    assert 65536 < per_call < 65536 + 64


@pytest.mark.parametrize("arrivals", ["constant", "poisson"])
def test_an_open_loop(server, arrivals):
    (step,) = run("--server", server.address, "--rate", "100", "--arrivals", arrivals,
                  "--duration", "3s", "--sizes", "4KiB")["steps"]
    assert (step["loop"], step["rate"], step["arrivals"]) == ("open", 100, arrivals)
    # Constant: none more or less. Poisson: 300 with a standard deviation of 17.
    assert step["calls"] == 300 if arrivals == "constant" else 200 < step["calls"] < 400
    assert step["ok"] == step["calls"]


def stall(server):
    """SIGSTOP for a second."""
    server.process.send_signal(signal.SIGSTOP)
    time.sleep(1)
    server.process.send_signal(signal.SIGCONT)


def test_a_stalled_server_shows_under_open_loop(start_server):
    server = start_server("--log-level=error")
    started = Started("--server", server.address, "--rate", "100", "--duration", "6s",
                      "--warmup", "0.2s", "--sizes", "4KiB")
    time.sleep(3)
    stall(server)
    code, results, lines = started.result()
    assert (code, lines) == (DONE, [])
    (step,) = results["steps"]
    latency = step["latency_seconds"]
    assert step["calls"] == 600
    # 100 of the 600 calls were due while nothing was answered: the worst waited for
    # all of the second, one in a hundred for 0.94 s or longer, a twelfth for half.
    assert latency["max"] >= 0.98
    assert latency["p99"] >= 0.9
    assert latency["p50"] < 0.5


def test_a_closed_loop_hides_the_stall(start_server):
    """Why there is an open loop: one call waits, and no others are there to be counted."""
    server = start_server("--log-level=error")
    started = Started("--server", server.address, "--concurrency", "1", "--duration", "6s",
                      "--warmup", "0.2s", "--sizes", "4KiB")
    time.sleep(3)
    stall(server)
    code, results, _ = started.result()
    assert code == DONE
    latency = results["steps"][0]["latency_seconds"]
    assert latency["max"] >= 0.98
    assert latency["p99"] < 0.5


def test_calls_that_run_out_of_time_show(start_server):
    server = start_server("--log-level=error")
    started = Started("--server", server.address, "--rate", "50", "--duration", "6s",
                      "--warmup", "0.2s", "--timeout", "0.3", "--sizes", "4KiB")
    time.sleep(3)
    stall(server)
    _, results, _ = started.result()
    (step,) = results["steps"]
    assert step["errors"]["DEADLINE_EXCEEDED"]["count"] > 0
    assert step["latency_seconds"]["max"] >= 0.29


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("load", [("--rate", "100"), ("--concurrency", "2")])
def test_a_server_that_goes_away(start_server, how, load):
    server = start_server("--log-level=error")
    started = Started("--server", server.address, *load, "--duration", "100s",
                      "--warmup", "0.2s", "--sizes", "4KiB", "--csv", "rows.csv")
    time.sleep(3)
    server.process.send_signal(how)
    server.process.wait(timeout=WAIT_SECONDS)
    code, results, lines = started.result()
    assert code == UNREACHABLE
    step = check_kept(results)
    assert step["stopped"] == "server gone"
    assert step["seconds"] < 90
    assert len(lines) == 1 and lines[0].startswith("halfstep: the server went away after ")
    with open("rows.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["partial"] == "true"


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_what_was_measured(server, which):
    started = Started("--server", server.address, "--rates", "50,100", "--duration", "100s",
                      "--warmup", "0.2s", "--sizes", "4KiB")
    time.sleep(3)
    started.interrupt(which)
    code, results, lines = started.result()
    assert code == INTERRUPTED
    assert check_kept(results)["stopped"] == "interrupted"
    assert len(results["steps"]) == 1
    assert len(lines) == 1 and lines[0].startswith("halfstep: interrupted after ")


def test_an_interrupt_before_the_run_ends_it():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # takes connections and says nothing
        process = subprocess.Popen(
            [binary("halfstep"), "load", "--server", f"127.0.0.1:{silent.getsockname()[1]}"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=20)
    assert process.returncode == INTERRUPTED
    assert (stdout, stderr) == ("", "halfstep: interrupted\n")


def test_an_unreachable_server():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # never listens
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        said = refusal("load", "--server", address, *QUICK, code=UNREACHABLE)
    assert said.startswith("halfstep: no server: ")


PARAMETERS = ("--rpcs", "quantize,parameters")


@pytest.mark.parametrize("arguments, says", [
    (("--rate", "0"), "--rate: 0; must be in (0, 1000000]"),
    (("--rate", "-5"), "--rate: -5; must be"),
    (("--rates", "100,1e9"), "--rate: 1e+09; must be"),
    (("--rate", "nan"), "--rate: nan; must be"),
    (("--rate", "fast"), "--rate"),
    (("--concurrency", "0"), "--concurrency: 0; must be in [1, 10000]"),
    (("--rate", "1", "--concurrency", "1"), "--concurrency"),
    (("--sizes", "0"), "--sizes: 0; must be a positive multiple of 4 bytes"),
    (("--sizes", "4KiB,1022"), "--sizes: 1022; must be a positive multiple of 4"),
    (("--sizes", "1TiB"), "the server's max_message_bytes"),
    (("--sizes", "large"), "--sizes: 'large'; must be a size"),
    (("--sizes", "99999999999TiB"), "--sizes: '99999999999TiB'; must be a size"),
    (("--sizes", "4KiB:0"), "--sizes: weight '0'; must be"),
    (("--sizes", "4KiB:x"), "--sizes: weight 'x'; must be"),
    (("--sweep-sizes", "4KiB,-1"), "--sweep-sizes: '-1'; must be a size"),
    (("--rpcs", "quantise"), "--rpcs: 'quantise'; must be one of quantize, "),
    (("--schemes", "lopsided"), "--schemes: 'lopsided'; must be one of asymmetric, "),
    (("--bits", "33"), "spec.bits: 33; must be"),
    (("--channel-setting", "grpc.http2.max_frame_size"), "--channel-setting: 'grpc.http2.max"),
    (("--channel-setting", "frame=16384"), "--channel-setting: 'frame=16384'; must be an"),
    (("--channel-setting", "grpc.x=y"), "--channel-setting: 'grpc.x=y'; must be an"),
    (("--duration", "0"), "--duration: 0; must be in [100ms, 24h]"),
    (("--duration", "soon"), "--duration: 'soon'; must be a time"),
    (("--duration", "nan"), "--duration"),
    (("--verify", "1.5"), "--verify: 1.5; must be in [0, 1]"),
    (("--channels", "0"), "--channels: 0; must be in [1, 256]"),
    (("--find-rate", "--rates", "1,2"), "--find-rate: "),
    (("--p99-below", "1ms"), "--p99-below"),
    (("--method", "mse"), "--method: mse; must be given only with parameters among --rpcs"),
    ((*PARAMETERS, "--method", "average"), "--method"),
    ((*PARAMETERS, "--group-size", "32"), "--group-size: 32; must be left out with parameters"),
    # Refused by the server.
    ((*PARAMETERS, "--bits", "33"), "spec.bits: 33; must be"),
    ((*PARAMETERS, "--method", "entropy"), "method: ENTROPY; must be used with scheme SYMMETRIC and 2 to 8"),
    ((*PARAMETERS, "--method", "entropy", "--schemes", "symmetric", "--bits", "32"), "method: ENTROPY; must be"),
])
def test_options_out_of_range(server, arguments, says):
    assert says in refusal("load", "--server", server.address, *arguments, code=USAGE)


def test_settings_of_channels_are_those_of_the_calls(server):
    at = ("--server", server.address, *QUICK, "--sizes", "64KiB")
    assert run(*at, "--channel-setting", "grpc.max_receive_message_length=20000")["steps"][0]["ok"]
    done = halfstep("load", *at, "--channel-setting", "grpc.max_receive_message_length=16000",
                    "--channel-setting", "grpc.http2.max_frame_size=16384", "--json")
    assert done.returncode == REFUSED
    assert "larger than max" in done.stderr


def test_settings_of_channels_want_a_server():
    said = refusal("load", *QUICK, "--channel-setting", "grpc.http2.max_frame_size=16384", code=USAGE)
    assert "--channel-setting: there is no connection to set; must be used with --server" in said


@pytest.mark.parametrize("option", ["--csv", "--html"])
def test_a_file_that_cannot_be_written_is_told_before_the_run(server, option):
    begin = time.monotonic()
    said = refusal("load", "--server", server.address, "--duration", "100s", option,
                   "no/such/folder", code=3)
    assert "no/such/folder" in said
    assert time.monotonic() - begin < 60


ALL_CALLS = ("--rpcs", "quantize:2,dequantize,fake-quantize,error",
             "--schemes", "asymmetric,symmetric", "--sizes", "1KiB,100000:0.5")


@pytest.mark.parametrize("spec", [
    (),
    ("--dtype", "float64", "--bits", "16"),
    ("--dtype", "float16", "--bits", "4", "--packing", "dense"),
    ("--dtype", "bfloat16", "--bits", "12", "--group-size", "32"),
])
def test_verified_answers(server, spec):
    (step,) = run("--server", server.address, *QUICK, *ALL_CALLS, *spec, "--verify")["steps"]
    # The warm-up's are checked as well.
    assert step["verified"] >= step["ok"] > 20
    for word in ("quantize:2 + dequantize:1 + fake-quantize:1 + error:1", "1KiB:1 + 100000B:0.5"):
        assert word in step["calls_sent"]


@pytest.mark.parametrize("method, schemes, spec", [
    ("mse", "asymmetric,symmetric", ()),
    ("mse", "asymmetric,symmetric", ("--dtype", "float64", "--bits", "32")),
    ("min_max", "asymmetric,symmetric", ("--dtype", "float16", "--bits", "4")),
    ("percentile", "asymmetric,symmetric", ("--dtype", "bfloat16", "--bits", "12")),
    ("entropy", "symmetric", ("--bits", "4", "--packing", "dense")),
])
def test_verified_parameters(server, method, schemes, spec):
    (step,) = run("--server", server.address, *SLOW, *PARAMETERS, "--method", method, "--schemes", schemes,
                  "--sizes", "1KiB,100000:0.5", *spec, "--verify")["steps"]
    assert step["verified"] >= step["ok"] > 20
    for words in ("quantize:1 + parameters:1", f", method {method}"):
        assert words in step["calls_sent"]


def test_parameters_alone(server):
    """The state is what is sent, not the reals, and the method is MSE."""
    (step,) = run("--server", server.address, *SLOW, "--rpcs", "parameters", "--sizes", "1MiB")["steps"]
    assert step["ok"] > 0
    assert step["calls_sent"] == "parameters, 1MiB, float32, 8 bits, asymmetric, method mse"
    per_call = 1e9 * step["gb_per_second_in"] / step["calls_per_second"]
    assert 1024 < per_call < 32768


def test_without_a_server():
    results = run(*QUICK, *ALL_CALLS, "--measure-error", "--verify", "0.5")
    (step,) = results["steps"]
    assert results["target"] == "inside this process"
    assert 0 < step["verified"] < step["calls"]


def flip_code(reply, where=-10):
    """The lowest bit of one byte of the payload, which is what a reply ends with."""
    changed = bytearray(reply)
    changed[where] ^= 1
    return bytes(changed)


def flip_scale(reply):
    from halfstep.v1 import quantization_pb2 as pb

    (scale,) = pb.QuantizeResponse.FromString(reply).tensor.parameters.scale
    return flip_code(reply, reply.index(struct.pack("<d", scale)))


def flip_first_scale(reply):
    from halfstep.v1 import quantization_pb2 as pb

    (scale,) = pb.ComputeParametersResponse.FromString(reply).parameters.scale
    return flip_code(reply, reply.index(struct.pack("<d", scale)))


def flip_expected_error(reply):
    from halfstep.v1 import quantization_pb2 as pb

    error = pb.ComputeParametersResponse.FromString(reply).expected_error
    return flip_code(reply, reply.index(struct.pack("<d", error.mean_squared_error)))


@pytest.mark.parametrize("rpc, method, change, says", [
    # 4096 codes of a byte.
    ("quantize", "Quantize", flip_code, "Quantize: tensor.codes[4086]: 0x"),
    ("quantize", "Quantize", flip_scale, "Quantize: modified: tensor.parameters.scale[0]: "),
    # 4096 reals of 4 bytes: 10 from the end are 2 elements and a half.
    ("dequantize", "Dequantize", flip_code, "Dequantize: tensor.data[4093]: 0x"),
    ("fake-quantize", "FakeQuantize", flip_code, "FakeQuantize: tensor.data[4093]: 0x"),
    ("error", "MeasureError", flip_code, "MeasureError: modified: error."),
    ("parameters", "ComputeParameters", flip_first_scale,
     "ComputeParameters: modified: parameters.scale[0]: "),
    ("parameters", "ComputeParameters", flip_expected_error,
     "ComputeParameters: modified: expected_error.mean_squared_error: "),
    ("quantize", "Quantize", lambda reply: reply[:-1], "Quantize: the reply cannot be parsed"),
])
def test_one_wrong_byte_is_noticed(server, rpc, method, change, says):
    # Set-up asks once; then some right ones, so that the wrong one is not the first.
    proxy = FlippingProxy(server.address, method, change, from_call=20)
    try:
        done = halfstep("load", "--server", proxy.address, "--rpcs", rpc, "--sizes", "16KiB",
                        "--rate", "50", "--duration", "100s", "--warmup", "0", "--verify",
                        "--json")
    finally:
        proxy.stop()
    assert proxy.changed == 1
    assert done.returncode == REFUSED, done.stderr
    assert done.stderr.startswith(f"halfstep: wrong answer: {says}"), done.stderr
    assert done.stderr.count("\n") == 1
    step = check_kept(json.loads(done.stdout))
    assert step["stopped"] == "wrong answer"
    assert says in step["stop_reason"]
    assert step["seconds"] < 90


def test_the_wrong_code_is_shown_with_the_right_one(server):
    seen = {}

    def change(reply):
        seen["right"] = reply[-10]
        return flip_code(reply)

    proxy = FlippingProxy(server.address, "Quantize", change, from_call=5)
    try:
        said = halfstep("load", "--server", proxy.address, "--sizes", "16KiB", "--rate", "50",
                        "--duration", "100s", "--warmup", "0", "--verify").stderr
    finally:
        proxy.stop()
    right = seen["right"]
    assert f"tensor.codes[4086]: 0x{right ^ 1:02x}; must be 0x{right:02x}" in said


def test_sweeps(server):
    done = halfstep("load", "--server", server.address, "--rates", "20,40,80", "--sweep-sizes",
                    "1KiB,64KiB", *QUICK, "--csv", "rows.csv")
    assert done.returncode == DONE, done.stderr
    with open("rows.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["size_bytes"], row["rate"]) for row in rows] == [
        (size, rate) for size in ("1024", "65536") for rate in ("20", "40", "80")]
    assert all(row["failed"] == "0" and float(row["p99_seconds"]) > 0 for row in rows)
    # One line for each, below the two headers.
    table = [line for line in done.stdout.splitlines() if line.split()[0].endswith("/s")]
    assert len(table) == 6


def test_a_sweep_of_concurrencies(server):
    steps = run("--server", server.address, "--concurrencies", "1,2,4", *QUICK)["steps"]
    assert [step["concurrency"] for step in steps] == [1, 2, 4]


def test_the_limit_search_keeps_to_its_bounds(server):
    results = run("--server", server.address, "--find-rate", "--p99-below", "10s", "--rate", "20",
                  "--max-steps", "3", "--sizes", "1KiB", *QUICK)
    assert [step["rate"] for step in results["steps"]] == [20, 40, 80]
    (limit,) = results["limits"]
    assert (limit["rate"], limit["settled"]) == (80, False)


def test_the_limit_search_finds_that_nothing_is_good_enough(server):
    results = run("--server", server.address, "--find-rate", "--p99-below", "1us", "--rate", "4",
                  "--max-steps", "3", "--sizes", "1KiB", *QUICK)
    assert [step["rate"] for step in results["steps"]] == [4, 2, 1]
    (limit,) = results["limits"]
    assert "rate" not in limit


def test_refused_calls_are_counted_by_code(start_server):
    # One call of 1 MiB at a time, and none may wait.
    server = start_server("--log-level=error", "--max-message-bytes=1MiB",
                          "--max-bytes-in-flight=4MiB", "--max-waiting-calls=1")
    (step,) = run("--server", server.address, "--concurrency", "32", "--sizes", "1MiB",
                  "--duration", "1s")["steps"]
    refused = step["errors"]["RESOURCE_EXHAUSTED"]
    assert refused["count"] == step["failed"] > 0
    assert refused["first_message"] != ""
    assert step["calls"] == step["ok"] + step["failed"]


def test_a_line_on_a_terminal(server):
    terminal, inside = pty.openpty()
    process = subprocess.Popen(
        [binary("halfstep"), "load", "--server", server.address, "--rate", "50", "--duration",
         "1s", "--warmup", "0.5s", "--sizes", "4KiB"],
        stdout=subprocess.PIPE, stderr=inside, text=True)
    os.close(inside)
    shown = b""
    try:
        while chunk := os.read(terminal, 4096):
            shown += chunk
    except OSError:
        pass  # the other end is closed
    os.close(terminal)
    stdout, _ = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == DONE
    assert b"(warm-up)" in shown and b"calls/s  p50 " in shown
    assert b"\n" not in shown
    assert shown.endswith(b"\r\x1b[K")
    # No colours, so that NO_COLOR has nothing to turn off.
    assert b"\x1b" not in shown.replace(b"\x1b[K", b"")
    assert "throughput" in stdout and "\x1b" not in stdout


def test_no_line_on_a_terminal_that_cannot_erase(server):
    terminal, inside = pty.openpty()
    process = subprocess.Popen(
        [binary("halfstep"), "load", "--server", server.address, "--rate", "50", "--duration",
         "0.5s", "--warmup", "0.1s", "--sizes", "4KiB"],
        stdout=subprocess.PIPE, stderr=inside, text=True, env={**os.environ, "TERM": "dumb"})
    process.communicate(timeout=WAIT_SECONDS)
    os.set_blocking(terminal, False)
    try:
        shown = os.read(terminal, 4096)
    except BlockingIOError:
        shown = b""
    os.close(inside)
    os.close(terminal)
    assert process.returncode == DONE and shown == b""


def test_help_has_examples():
    done = halfstep("load", "--help")
    assert done.returncode == DONE
    for example in ("--rate 500 --arrivals poisson", "--find-rate --p99-below 5ms", "--html"):
        assert example in done.stdout

"""ghz and `halfstep load` side by side: do they measure the same?

Both send the same bytes, which are noted from the load tester, over as many
connections, evenly spaced, at half of the server's capacity: of the rate that ghz
reaches in a closed loop of 16 calls, but at most at PACED_RATE_MAX. They take turns, so
that what else the machine does hits both, and the medians over all rounds are compared.
Exits 1 if a rate or a median latency is more than 15 % off.

Quantize of small tensors has a capacity of many times PACED_RATE_MAX. ComputeParameters
by a method that searches has one of some hundreds of calls per second: those rows are
at half of the capacity.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

import numpy as np

from languages import ROOT

sys.path.insert(0, str(ROOT / "tests" / "end_to_end"))
import server_process  # noqa: E402
from recorder import Recorder  # noqa: E402

# The most that ghz may differ from the load tester.
TOLERANCE = 0.15
CHANNELS = 4
# ghz wakes up once a millisecond and sends all that is due then: Go's timers are no
# finer where nothing else runs. Past 1,000 calls/s it sends bursts, whose calls wait
# for each other, and no longer the same as the load tester.
PACED_RATE_MAX = 900
WARMUP_SECONDS = 1
RUN_TIMEOUT_SECONDS = 300


def run(command):
    # Go's collector, at its default, would take a core of two from the server.
    done = subprocess.run(
        command, env=os.environ | {"GOGC": "800"}, text=True, timeout=RUN_TIMEOUT_SECONDS, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout)


class Call:
    """What both send: Quantize, or ComputeParameters by a method.

    `text`  "quantize:1024" or "mse:4096": which, and the bytes of the reals that are
            quantized, or that the calibration state has seen.
    """

    def __init__(self, text):
        self.name, _, size = text.partition(":")
        if not size.isdecimal():
            sys.exit(f"--calls: '{text}'; must be quantize:BYTES or METHOD:BYTES")
        self.size = int(size)
        self.shown = "quantize"
        self.options = ["--sizes", size]
        self.method = "halfstep.v1.QuantizationService/Quantize"
        if self.name != "quantize":
            self.shown = f"parameters, {self.name}"
            self.options += ["--rpcs", "parameters", "--method", self.name]
            self.method = "halfstep.v1.CalibrationService/ComputeParameters"
        # It is published for symmetric codes alone.
        if self.name == "entropy":
            self.options += ["--schemes", "symmetric"]

    def request(self, address):
        """Its bytes, as the load tester sends them."""
        recorder = Recorder(address)
        try:
            load(recorder.address, self, ["--duration=0.1s", "--warmup=0", "--concurrency=1"])
        finally:
            recorder.stop()
        return recorder.requests[self.method.rpartition("/")[2]]


def load(address, call, how):
    """Calls per second and the median latency in seconds, by `halfstep load`."""
    report = run([
        server_process.binary("halfstep"), "load", "--server", address, "--json",
        "--channels", str(CHANNELS), *call.options, *how])
    (step,) = report["steps"]
    if step["failed"]:
        sys.exit(f"halfstep load: failed calls: {step['errors']}")
    return step["calls_per_second"], step["latency_seconds"]["p50"]


def ghz(address, call, request_file, how):
    """The same by ghz."""
    report = run([
        str(ROOT / "build" / "tools" / "ghz"), "--insecure", "--format=json", f"--call={call.method}",
        f"--binary-file={request_file}", f"--connections={CHANNELS}", *how, address])
    if set(report["statusCodeDistribution"]) != {"OK"}:
        sys.exit(f"ghz: failed calls: {report['errorDistribution']}")
    # The rate that it prints counts the time of skipped calls, but not these.
    starts = np.array([sent["timestamp"].rstrip("Z") for sent in report["details"]], "M8[ns]")
    span = (starts.max() - starts.min()) / np.timedelta64(1, "s")
    (median,) = [
        at["latency"] for at in report["latencyDistribution"] if at["percentage"] == 50]
    return (len(starts) - 1) / span, median / 1e9


def delimited(message):
    """The message after its length, as a varint.

    ghz takes a file for that if it can, and some messages can be read as two of them.
    """
    length, prefix = len(message), bytearray()
    while length > 0x7F:
        prefix.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes(prefix) + bytes([length]) + message


def capacity_of(address, call, request_file, options):
    """Calls per second in a closed loop of 16, the median of three."""
    return statistics.median(
        ghz(address, call, request_file, [
            "--concurrency=16", f"--duration={options.seconds}s", "--duration-stop=wait"])[0]
        for _ in range(3))


def compare(address, call, options):
    """One row of the table. Returns whether the two agree."""
    measured = {"halfstep load": [], "ghz": []}
    with tempfile.NamedTemporaryFile(prefix="halfstep_ghz_") as file:
        file.write(delimited(call.request(address)))
        file.flush()
        capacity = capacity_of(address, call, file.name, options)
        rate = options.rate or max(1, min(round(capacity / 2), PACED_RATE_MAX))
        ours = [f"--rate={rate}", f"--duration={options.seconds}s", f"--warmup={WARMUP_SECONDS}s"]
        theirs = [
            # Enough for the rate. With two, calls pass between Go's threads.
            "--cpus=1", f"--concurrency={CHANNELS}", f"--rps={rate}",
            f"--total={rate * (WARMUP_SECONDS + options.seconds)}",
            f"--skipFirst={rate * WARMUP_SECONDS}"]
        for turn in range(options.rounds):
            turns = [
                ("halfstep load", lambda: load(address, call, ours)),
                ("ghz", lambda: ghz(address, call, file.name, theirs))]
            for name, measure in turns if turn % 2 == 0 else reversed(turns):
                measured[name].append(measure())
    medians = {
        name: [statistics.median(values) for values in zip(*rounds)]
        for name, rounds in measured.items()}
    (load_rate, load_p50), (ghz_rate, ghz_p50) = medians["halfstep load"], medians["ghz"]
    agree = all(
        abs(theirs / ours - 1) <= TOLERANCE
        for ours, theirs in ((load_rate, ghz_rate), (load_p50, ghz_p50)))
    print(
        f"{call.shown:<21} {call.size:>6} {capacity:>9.0f} {rate:>6} {load_rate:>8.1f} {ghz_rate:>8.1f}"
        f" {ghz_rate / load_rate - 1:>+7.1%} {load_p50 * 1e3:>8.3f} {ghz_p50 * 1e3:>8.3f}"
        f" {ghz_p50 / load_p50 - 1:>+7.1%}  {'yes' if agree else 'NO'}", flush=True)
    return agree


def main():
    parser = argparse.ArgumentParser(prog="./dev interop --ghz", allow_abbrev=False)
    parser.add_argument(
        "--calls", default="quantize:1024,quantize:4096,quantize:8192,mse:1024,mse:4096,entropy:4096",
        help="quantize:BYTES, or METHOD:BYTES for ComputeParameters, a list")
    parser.add_argument("--rate", type=int, help="calls per second, in place of half of the capacity")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=2, help="of each measurement")
    options = parser.parse_args()
    calls = [Call(text) for text in options.calls.split(",")]
    server = server_process.ServerProcess("--log-level=error")
    try:
        print(f"{'':<28} {'calls/s':>9} {'':>6} {'reached by':>13} {'':>11} {'p50 in ms, by':>17}")
        print(f"{'call':<21} {'bytes':>6} {'capacity':>9} {'asked':>6} {'load':>8} {'ghz':>8} {'':>7}"
              f" {'load':>8} {'ghz':>8} {'':>7}  agree", flush=True)
        agree = [compare(server.address, call, options) for call in calls]
    finally:
        server.stop()
    sys.exit(0 if all(agree) else 1)


if __name__ == "__main__":
    main()

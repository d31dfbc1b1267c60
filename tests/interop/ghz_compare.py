"""ghz and `halfstep load` side by side: do they measure the same?

Both send the same calls (Quantize, one float32 tensor, 8 bits) over as many
connections, evenly spaced, at half of the rate that ghz reaches in a closed loop of
16 calls, but at most at PACED_RATE_MAX. (The load tester reaches more: it leaves the
server more of a machine that both share.) They take turns, so that what else the machine does hits both, and the
medians over all rounds are compared. Exits 1 if a rate or a median latency is more
than 15 % off.
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


def load(address, size, seconds, how):
    """Calls per second and the median latency in seconds, by `halfstep load`."""
    report = run([
        server_process.binary("halfstep"), "load", "--server", address, "--json",
        "--sizes", str(size), "--channels", str(CHANNELS), "--duration", f"{seconds}s",
        "--warmup", f"{WARMUP_SECONDS}s", *how])
    (step,) = report["steps"]
    if step["failed"]:
        sys.exit(f"halfstep load: failed calls: {step['errors']}")
    return step["calls_per_second"], step["latency_seconds"]["p50"]


def ghz(address, request_file, how):
    """The same by ghz."""
    report = run([
        str(ROOT / "build" / "tools" / "ghz"), "--insecure", "--format=json",
        "--call=halfstep.v1.QuantizationService/Quantize", f"--binary-file={request_file}",
        f"--connections={CHANNELS}", *how, address])
    if set(report["statusCodeDistribution"]) != {"OK"}:
        sys.exit(f"ghz: failed calls: {report['errorDistribution']}")
    # The rate that it prints counts the time of skipped calls, but not these.
    starts = np.array([call["timestamp"].rstrip("Z") for call in report["details"]], "M8[ns]")
    span = (starts.max() - starts.min()) / np.timedelta64(1, "s")
    (median,) = [
        at["latency"] for at in report["latencyDistribution"] if at["percentage"] == 50]
    return (len(starts) - 1) / span, median / 1e9


def compare(address, size, rate, options):
    """One row of the table. Returns whether the two agree."""
    messages, _ = server_process.load_stubs()
    reals = np.random.default_rng(1).standard_normal(size // 4).astype("<f4")
    request = messages.QuantizeRequest(
        spec=messages.QuantizationSpec(bits=8),
        tensor=messages.Tensor(
            dtype=messages.DATA_TYPE_FLOAT32, shape=reals.shape, data=reals.tobytes()))
    measured = {"halfstep load": [], "ghz": []}
    with tempfile.NamedTemporaryFile(prefix="halfstep_ghz_") as file:
        file.write(request.SerializeToString())
        file.flush()
        if rate is None:
            capacity, _ = ghz(address, file.name, [
                "--concurrency=16", f"--duration={options.seconds}s", "--duration-stop=wait"])
            rate = max(1, min(round(capacity / 2), PACED_RATE_MAX))
        paced = [
            # Enough for the rate. With two, calls pass between Go's threads.
            "--cpus=1", f"--concurrency={CHANNELS}", f"--rps={rate}",
            f"--total={rate * (WARMUP_SECONDS + options.seconds)}",
            f"--skipFirst={rate * WARMUP_SECONDS}"]
        for turn in range(options.rounds):
            turns = [
                ("halfstep load", lambda: load(
                    address, size, options.seconds, ["--rate", str(rate)])),
                ("ghz", lambda: ghz(address, file.name, paced))]
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
        f"{size:>9} {rate:>7} {load_rate:>9.1f} {ghz_rate:>9.1f} {ghz_rate / load_rate - 1:>+7.1%}"
        f" {load_p50 * 1e3:>9.3f} {ghz_p50 * 1e3:>9.3f} {ghz_p50 / load_p50 - 1:>+7.1%}"
        f"  {'yes' if agree else 'NO'}", flush=True)
    return agree


def main():
    parser = argparse.ArgumentParser(prog="./dev interop --ghz", allow_abbrev=False)
    parser.add_argument("--sizes", default="1024,4096,8192", help="bytes of reals, a list")
    parser.add_argument("--rate", type=int, help="calls per second")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=2, help="of each measurement")
    options = parser.parse_args()
    server = server_process.ServerProcess("--log-level=error")
    try:
        print("             calls/s   reached by                   p50 in ms, by")
        print(f"{'bytes':>9} {'asked':>7} {'load':>9} {'ghz':>9} {'':>7} {'load':>9} {'ghz':>9}"
              f" {'':>7}  agree", flush=True)
        agree = [
            compare(server.address, int(size), options.rate, options)
            for size in options.sizes.split(",")]
    finally:
        server.stop()
    sys.exit(0 if all(agree) else 1)


if __name__ == "__main__":
    main()

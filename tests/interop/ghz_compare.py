"""ghz and `halfstep load` side by side: do they measure the same?

Both send the same calls (Quantize, one float32 tensor, 8 bits) over as many
connections, evenly spaced, at half of the rate that a closed loop of 16 calls
reaches. They take turns, so that what else the machine does hits both, and the
medians over all rounds are compared. Exits 1 if a rate or a median latency is more
than 15 % off.
"""
import argparse
import json
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
WARMUP_SECONDS = 1
RUN_TIMEOUT_SECONDS = 300


def run(command):
    done = subprocess.run(
        command, text=True, timeout=RUN_TIMEOUT_SECONDS, check=False,
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


def ghz(address, request_file, seconds, rate):
    """The same by ghz."""
    skipped, total = round(rate * WARMUP_SECONDS), round(rate * (WARMUP_SECONDS + seconds))
    report = run([
        str(ROOT / "build" / "tools" / "ghz"), "--insecure", "--async", "--format=json",
        "--call=halfstep.v1.QuantizationService/Quantize", f"--binary-file={request_file}",
        f"--connections={CHANNELS}", f"--rps={rate}", f"--total={total}",
        f"--skipFirst={skipped}", address])
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
    if rate is None:
        capacity, _ = load(address, size, options.seconds, ["--concurrency", "16"])
        rate = max(1, round(capacity / 2))
    measured = {"halfstep load": [], "ghz": []}
    with tempfile.NamedTemporaryFile(prefix="halfstep_ghz_") as file:
        file.write(request.SerializeToString())
        file.flush()
        for turn in range(options.rounds):
            turns = [
                ("halfstep load", lambda: load(
                    address, size, options.seconds, ["--rate", str(rate)])),
                ("ghz", lambda: ghz(address, file.name, options.seconds, rate))]
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
    parser.add_argument("--sizes", default="65536,262144,1048576", help="bytes of reals, a list")
    parser.add_argument("--rate", type=int, help="calls per second; half of capacity if not given")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of each measurement")
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

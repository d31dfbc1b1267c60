"""Times kernels and calls, and prints each rate beside what it is compared with.

    ./dev bench [--quick] [--rounds N] [--seconds S] [--json FILE]

A ratio is only ever taken within one run: rounds go over all sides in turn
(A B C, A B C, ...), and what is printed is the median of the rounds' ratios.
Rates are bytes of float32 reals a second; CPU is the server's own, a GB.
"""

import argparse
import json
import os
import pathlib
import platform
import signal
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
GB = 1e9

# (kernel, what it is compared with, the least ratio to reach)
KERNEL_ROWS = [
    ("quantize/static/threads:1", "xnnpack/convert_f32_qu8/threads:1", 1.0),
    ("quantize/static/threads:1", "onednn/reorder_f32_u8/threads:1", None),
    ("quantize/static/threads:1", "floor/one_read/threads:1", None),
    ("quantize/dynamic/threads:1", "floor/two_reads/threads:1", None),
    ("quantize/dynamic/threads:all", "floor/two_reads/threads:all", 0.9),
    ("quantize/dynamic_group128/threads:1", "quantize/static/threads:1", 0.8),
    ("quantize/dynamic_group32/threads:1", "quantize/static/threads:1", 0.5),
    ("quantize/static_last_axis/threads:1", "quantize/static/threads:1", 0.7),
    ("quantize/dynamic_last_axis/threads:1", "quantize/dynamic/threads:1", 0.7),
    ("quantize/static_4bit_dense/threads:1", "quantize/static/threads:1", 0.8),
    ("quantize/static_with_error/threads:1", "quantize/static/threads:1", None),
]

KIB, MIB = 1 << 10, 1 << 20
# (bytes of reals, calls in flight): their product is at most 1 GiB.
CALLS = [
    (KIB, 1), (KIB, 32), (4 * KIB, 1), (64 * KIB, 1), (64 * KIB, 16),
    (MIB, 1), (MIB, 8), (16 * MIB, 1), (16 * MIB, 4), (64 * MIB, 1),
    (64 * MIB, 4), (255 * MIB, 1),
]  # fmt: skip
QUICK_CALLS = [(KIB, 8), (MIB, 1)]


class Server:
    """A process that prints `listening on ADDRESS`; ended by its own id."""

    def __init__(self, command, env=None):
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={**os.environ, **(env or {})}
        )
        line = self.process.stdout.readline()
        if not line.startswith("listening on "):
            self.process.kill()
            raise RuntimeError(f"{command[0]}: does not serve: {line!r}")
        self.address = line.split()[-1]

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")")[1].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def servers(build, stubs, scratch, transport):
    """What is measured, by name. Each on TCP, or on a socket of its own."""

    def at(name):
        return "127.0.0.1:0" if transport == "tcp" else f"unix:{scratch}/{name}.sock"

    peer = str(build / "tests" / "peer_server")
    commands = {
        "halfstep": [
            str(build / "bin" / "halfstep-server"),
            f"--listen={at('halfstep')}",
            "--log-level=error",
        ],
        "nothing": [peer, "nothing", at("nothing")],
        "generated": [peer, "generated", at("generated")],
        "numpy": ["/usr/bin/python3", str(ROOT / "tests/bench/numpy_server.py"), at("numpy")],
    }
    started = {}
    try:
        for name, command in commands.items():
            started[name] = Server(command, {"PYTHONPATH": stubs})
    except BaseException:
        for server in started.values():
            server.stop()
        raise
    return started


def load(build, server, size, concurrency, seconds):
    """One closed-loop step of the load tester, with the server's CPU."""
    before = server.cpu_seconds()
    done = subprocess.run(
        [
            str(build / "bin" / "halfstep"), "--server", server.address, "--json", "load",
            "--sizes", str(size), "--concurrency", str(concurrency),
            "--channels", str(min(concurrency, 4)),
            "--duration", f"{seconds}s", "--warmup", f"{seconds / 4}s",
        ],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"load against {server.address} failed: {done.stdout[-500:]}")
    report = json.loads(done.stdout)
    step = report["steps"][0] if "steps" in report else report
    rate = step["calls_per_second"] * size
    # Warm-up calls cost CPU, too, at the same rate.
    total_bytes = rate * seconds * 1.25
    return {
        "bytes_per_second": rate,
        "calls_per_second": step["calls_per_second"],
        "p50_seconds": step["latency_seconds"]["p50"],
        "p99_seconds": step["latency_seconds"]["p99"],
        "server_cpu_seconds_per_gb": (server.cpu_seconds() - before) / (total_bytes / GB)
        if total_bytes
        else None,
        "client_cpu_cores": step["client_cpu_cores"],
    }


def median_of(samples, key):
    values = [sample[key] for sample in samples if sample[key] is not None]
    return statistics.median(values) if values else None


def measure_calls(build, stubs, options, transport):
    rows = []
    with tempfile.TemporaryDirectory(prefix="halfstep_bench_") as scratch:
        running = servers(build, stubs, scratch, transport)
        try:
            for size, concurrency in QUICK_CALLS if options.quick else CALLS:
                samples = {name: [] for name in running}
                for _ in range(options.rounds):
                    for name, server in running.items():
                        samples[name].append(
                            load(build, server, size, concurrency, options.seconds)
                        )
                row = {
                    "transport": transport,
                    "bytes": size,
                    "in_flight": concurrency,
                    "rounds": options.rounds,
                    "sides": {
                        name: {key: median_of(taken, key) for key in taken[0]}
                        for name, taken in samples.items()
                    },
                    "ratio": {
                        name: statistics.median(
                            ours["bytes_per_second"] / theirs["bytes_per_second"]
                            for ours, theirs in zip(samples["halfstep"], taken)
                        )
                        for name, taken in samples.items()
                        if name != "halfstep"
                    },
                }
                rows.append(row)
                print_call(row)
        finally:
            for server in running.values():
                server.stop()
    return rows


def size_name(size):
    return f"{size // MIB} MiB" if size >= MIB else f"{size // KIB} KiB"


def print_call(row):
    sides, ratio = row["sides"], row["ratio"]
    cells = [
        f"{row['transport']:<5}{size_name(row['bytes']):>9}{row['in_flight']:>4}",
        *(
            f"{sides[name]['bytes_per_second'] / GB:>10.3f}"
            f"{sides[name]['server_cpu_seconds_per_gb'] or 0:>7.2f}"
            for name in ("halfstep", "nothing", "generated", "numpy")
        ),
        *(f"{ratio[name]:>7.2f}" for name in ("nothing", "generated", "numpy")),
    ]
    print("".join(cells), flush=True)


def measure_kernels(build, options):
    command = [
        str(build / "tests" / "kernels_bench"),
        f"--benchmark_repetitions={options.rounds}",
        "--benchmark_enable_random_interleaving=true",
        f"--benchmark_min_time={0.01 if options.quick else 0.2}",
        "--benchmark_format=json",
    ]
    # oneDNN's own threads: one, as the row says.
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    taken = {}
    for entry in json.loads(done.stdout)["benchmarks"]:
        if entry["run_type"] == "iteration":
            name = entry["run_name"].removesuffix("/real_time")
            taken.setdefault(name, []).append(entry["bytes_per_second"])
    rates = {name: statistics.median(values) for name, values in taken.items()}
    rows = []
    print(f"\n{'kernel, 256 MiB of float32':<38}{'GB/s':>7}  {'against':<36}{'GB/s':>7}{'ratio':>7}")
    for name, against, goal in KERNEL_ROWS:
        row = {
            "kernel": name,
            "against": against,
            "bytes_per_second": rates[name],
            "against_bytes_per_second": rates[against],
            "ratio": rates[name] / rates[against],
            "goal": goal,
        }
        rows.append(row)
        print(
            f"{name:<38}{rates[name] / GB:>7.2f}  {against:<36}{rates[against] / GB:>7.2f}"
            f"{row['ratio']:>7.2f}" + (f"  (goal {goal})" if goal else "")
        )
    return rows


def machine():
    model = next(
        (
            line.split(":")[1].strip()
            for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "unknown",
    )
    return {"processor": model, "cores": os.cpu_count(), "kernel": platform.release()}


def main():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="a few seconds in all")
    parser.add_argument("--rounds", type=int, default=7, help="alternating rounds (7)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each step (1)")
    parser.add_argument("--only", choices=["kernels", "calls"], help="half of it")
    parser.add_argument("--json", type=pathlib.Path, help="write all numbers to this file")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, 0.2
    if not 1 <= options.rounds <= 100 or not 0.05 <= options.seconds <= 60:
        parser.error("--rounds must be in [1, 100], --seconds in [0.05, 60]")
    build = options.build.resolve()
    stubs = str(build / "proto" / "python")
    result = {"machine": machine(), "calls": [], "kernels": []}
    print(f"{result['machine']}")
    if options.only != "kernels":
        names = ("halfstep", "nothing", "generated", "numpy")
        print(
            f"{'Quantize':<18}"
            + "".join(f"{name:>10}{'s/GB':>7}" for name in names)
            + "".join(f"{'/' + name[:6]:>7}" for name in names[1:])
        )
        for transport in ["tcp"] if options.quick else ["tcp", "unix"]:
            result["calls"] += measure_calls(build, stubs, options, transport)
    if options.only != "calls":
        result["kernels"] = measure_kernels(build, options)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
        print(f"wrote {options.json}")


if __name__ == "__main__":
    try:
        main()
    except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(1)

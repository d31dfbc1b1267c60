"""Small calls beside large ones: what one caller does to another."""

import statistics
import subprocess

from processes import KIB, MIB, load, load_command, servers

SMALL_RATE = 200  # calls a second, so that p99 is of some hundred calls


def beside_large_calls(build, server, large_bytes, seconds):
    """p99 in seconds of 4 KiB calls while one large call follows another."""
    large = subprocess.Popen(
        load_command(build, server, 1.5 * seconds, "--sizes", large_bytes,
                     "--concurrency", 1, "--channels", 1),
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        step = load(build, server, seconds, "--sizes", 4 * KIB, "--rate", SMALL_RATE)
    finally:
        if large.wait(60) != 0:
            raise RuntimeError(f"large calls against {server.address} failed")
    return step["latency_seconds"]["p99"]


def measure_neighbours(build, stubs, options):
    large_bytes = (MIB if options.quick else 64 * MIB)
    samples = {"halfstep": [], "nothing": []}
    with servers(build, stubs, "tcp", tuple(samples)) as running:
        for _ in range(options.rounds):
            for name, server in running.items():
                samples[name].append(
                    beside_large_calls(build, server, large_bytes, 2 * options.seconds)
                )
    ours, nothing = (statistics.median(taken) for taken in samples.values())
    row = {
        "small_bytes": 4 * KIB,
        "small_calls_per_second": SMALL_RATE,
        "large_bytes": large_bytes,
        "p99_seconds": {"halfstep": ours, "nothing": nothing},
        "ratio": statistics.median(a / b for a, b in zip(*samples.values())),
    }
    print(
        f"\np99 of 4 KiB beside calls of {large_bytes // MIB} MiB: {1e3 * ours:.2f} ms, "
        f"do-nothing {1e3 * nothing:.2f} ms, ratio {row['ratio']:.2f} (at most 1.5)"
    )
    return row

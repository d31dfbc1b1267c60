"""Times kernels and calls, and prints each rate beside what it is compared with.

    ./dev bench [--quick] [--only PART] [--rounds N] [--seconds S] [--json FILE]

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
import subprocess
import sys

from calls import measure_calls, measure_error_report, print_heading
from kernels import measure_kernels
from memory import measure_memory
from neighbours import measure_neighbours
from transport import measure_transport

PARTS = ("calls", "error", "neighbours", "memory", "transport", "kernels")


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
    parser.add_argument(
        "--rounds", type=int, default=7,
        help="alternating rounds (7); twice as many of calls up to 64 KiB",
    )  # fmt: skip
    parser.add_argument("--seconds", type=float, default=1.0, help="of each step (1)")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part (repeatable)")
    parser.add_argument("--json", type=pathlib.Path, help="write all numbers to this file")
    options = parser.parse_args()
    # So that the servers end with it.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    if options.quick:
        options.rounds, options.seconds = 1, 0.2
    if not 1 <= options.rounds <= 100 or not 0.05 <= options.seconds <= 60:
        parser.error("--rounds must be in [1, 100], --seconds in [0.05, 60]")
    parts = options.only or PARTS
    build = options.build.resolve()
    stubs = str(build / "proto" / "python")
    result = {"machine": machine()}
    print(f"{result['machine']}")
    if "calls" in parts:
        print_heading()
        result["calls"] = []
        for transport in ["tcp"] if options.quick else ["tcp", "unix"]:
            result["calls"] += measure_calls(build, stubs, options, transport)
    if "error" in parts:
        result["error"] = measure_error_report(build, stubs, options)
    if "neighbours" in parts:
        result["neighbours"] = measure_neighbours(build, stubs, options)
    if "memory" in parts:
        result["memory"] = measure_memory(build, stubs, options)
    if "transport" in parts:
        result["transport"] = measure_transport(build, stubs, options)
    if "kernels" in parts:
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

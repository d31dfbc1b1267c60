"""Overload: what a server still answers when ten times as much comes as it can take.

1. A closed loop finds what the server answers when it is busy and nobody is refused.
2. An open loop then sends ten times as many calls a second, whatever comes back.

Both, in turn, several times; what is judged is the median of the rounds. Goodput is right answers a second: a tenth of them is compared, bit for bit, with what
the load tester computes itself. It must stay at four fifths of what it was, with the
server's memory below the limit of which its budget is half, as the default is; and a
call fails only by RESOURCE_EXHAUSTED or by its own deadline. Afterwards an ordinary
call is answered. Exits with 1 if one of that is not so.

Beside it stands what the server answers in a second of its own processor's time, which
a load tester that is the bottleneck, or others on the machine, change less.
"""

import argparse
import collections
import json
import os
import pathlib
import statistics
import subprocess
import sys

from process_usage import cpu_seconds, peak_bytes
from server_process import ROOT, ServerProcess, binary

GOODPUT_MIN = 0.8
FACTOR = 10
MIB = 1 << 20
ALLOWED = {"RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"}


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", default="64KiB,1MiB", help="bytes of a tensor, a run each")
    parser.add_argument("--seconds", type=float, default=8, help="of each step")
    parser.add_argument("--rounds", type=int, default=3, help="of both steps, in turn")
    parser.add_argument("--timeout", type=float, default=10, help="deadline of a call, in seconds")
    parser.add_argument("--channels", type=int, default=4, help="connections; each takes 128 calls at a time")
    parser.add_argument("--budget-mib", type=int, default=512, help="the server's max-bytes-in-flight")
    parser.add_argument("--out", default=str(ROOT / "build" / "overload"))
    return parser.parse_args()


def pinned(core, *command):
    return ["taskset", "-c", str(core), *command]


def load(server, core, options, *how):
    """One step of the load tester on `core`, as its JSON says it."""
    command = pinned(core, binary("halfstep"), "load", "--server", server.address, "--json",
                     "--duration", f"{options.seconds}s", "--warmup", "2s", "--verify", "0.1",
                     "--timeout", str(options.timeout), "--channels", str(options.channels), *how)
    done = subprocess.run(command, capture_output=True, text=True,
                          timeout=10 * (options.seconds + options.timeout) + 120)
    # 1: some calls failed, as they must here.
    if done.returncode not in (0, 1) or not done.stdout:
        sys.exit(f"overload: halfstep load exited with {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout)["steps"][0]


def measure(size, options):
    """Runs both steps in turn on a fresh server; returns what was seen and what is wrong with it."""
    server_core, load_core = sorted(os.sched_getaffinity(0))[:2]
    server = ServerProcess("--threads=1", f"--max-bytes-in-flight={options.budget_mib}MiB", "--max-message-bytes=16MiB",
                           "--log-level=error")
    closed, overload, errors, refused = [], [], collections.Counter(), collections.Counter()
    faults = []
    try:
        pid = server.process.pid
        # All of its threads: gRPC's are there already.
        subprocess.run(["taskset", "-a", "-p", "-c", str(server_core), str(pid)], check=True, capture_output=True)
        for _ in range(options.rounds):
            before = cpu_seconds(pid)
            closed.append(load(server, load_core, options, "--sizes", size, "--concurrency", "8"))
            between = cpu_seconds(pid)
            rate = FACTOR * closed[-1]["calls_per_second"]
            overload.append(load(server, load_core, options, "--sizes", size, "--rate", f"{rate:.0f}"))
            closed[-1]["server_cpu"], overload[-1]["server_cpu"] = between - before, cpu_seconds(pid) - between
            for found, step in ((refused, closed[-1]), (errors, overload[-1])):
                found.update({code: error["count"] for code, error in step["errors"].items()})
        peak = peak_bytes(pid)
        again = load(server, load_core, options, "--sizes", "64KiB", "--concurrency", "1")
    finally:
        code = server.stop()
    limit = 2 * options.budget_mib * MIB
    shares = [over["calls_per_second"] / one["calls_per_second"] for one, over in zip(closed, overload)]
    seen = {
        "size": size, "share": statistics.median(shares), "shares": shares,
        "unloaded": statistics.median(step["calls_per_second"] for step in closed),
        "sent_per_second": statistics.median(step["calls"] / step["seconds"] for step in overload),
        "goodput": statistics.median(step["calls_per_second"] for step in overload),
        "unloaded_per_cpu_second": statistics.median(step["ok"] / step["server_cpu"] for step in closed),
        "goodput_per_cpu_second": statistics.median(step["ok"] / step["server_cpu"] for step in overload),
        "errors": dict(errors), "peak_bytes": peak, "limit_bytes": limit,
    }
    if refused:
        faults.append(f"refused without overload: {dict(refused)}")
    if seen["share"] < GOODPUT_MIN:
        faults.append(f"goodput fell to {seen['share']:.0%}; must be at least {GOODPUT_MIN:.0%}")
    if not set(seen["errors"]) <= ALLOWED:
        faults.append(f"failed as {seen['errors']}; must be {sorted(ALLOWED)} only")
    if not seen["errors"]:
        faults.append("nothing was refused or late: that was no overload")
    if peak >= limit:
        faults.append(f"{peak >> 20} MiB at the peak; must be below {limit >> 20} MiB")
    if again["failed"] or not again["ok"]:
        faults.append(f"afterwards: {again['errors']}")
    if code != 0:
        faults.append(f"the server ended with {code}\n{server.stderr()}")
    return seen, faults


def main():
    options = parse()
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("overload: one processor; must have two")
    results, wrong = [], []
    print(f"{'size':>6} {'unloaded/s':>11} {'sent/s':>9} {'goodput/s':>10} {'share':>6} {'per CPU second':>15} {'peak MiB':>9}  failed")
    for size in options.sizes.split(","):
        seen, faults = measure(size, options)
        results.append(seen)
        wrong += [f"{size}: {fault}" for fault in faults]
        print(f"{size:>6} {seen['unloaded']:11.0f} {seen['sent_per_second']:9.0f} {seen['goodput']:10.0f} "
              f"{seen['share']:6.0%} {seen['unloaded_per_cpu_second']:6.0f} to {seen['goodput_per_cpu_second']:5.0f} "
              f"{seen['peak_bytes'] >> 20:9}  {seen['errors']}", flush=True)
    out = pathlib.Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "overload.json").write_text(json.dumps(results, indent=2) + "\n")
    for fault in wrong:
        print(f"overload: {fault}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

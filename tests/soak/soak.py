"""Soak: minutes of mixed calls, through which memory and descriptors must stay flat.

The load tester sends unary calls of many sizes and kinds and checks the answers; the
storm of tests/end_to_end/test_storm.py goes on beside it, with calls that are cancelled,
too large or malformed and streams that are abandoned; and connections come and go.

After a warm-up of a third of the time, the server's memory and its descriptors are
looked at each second, and must not

  - rise: the median of the last third of what was seen is at most a tenth (and, for
    memory, the 64 MiB that the server keeps at ease; for descriptors, 8) above that of
    the first third;
  - pass a ceiling: for memory, the budget and 150 MiB; for descriptors, 200.

Once it is quiet, both must be back near where they were before. Exits with 1 if not.
"""

import argparse
import csv
import statistics
import subprocess
import sys
import threading
import time

import grpc

import test_storm
from process_usage import descriptors, resident_bytes
from server_process import ROOT, ServerProcess, binary, load_stubs

MIB = 1 << 20
BUDGET = 256 * MIB
MEMORY_CEILING = BUDGET + 150 * MIB
DESCRIPTOR_CEILING = 200
KEPT_AT_EASE = 64 * MIB  # server/call/idle_memory.h
QUIET_SECONDS = 12  # idle memory goes back after 5 s, looked at every second
MESSAGE_BYTES = test_storm.MESSAGE_BYTES


def come_and_go(server, end):
    """New connections, each for one call."""
    while time.monotonic() < end:
        with server.new_channel() as channel:
            grpc.channel_ready_future(channel).result(60)
        time.sleep(0.05)


def start_load(server, seconds):
    return subprocess.Popen(
        [binary("halfstep"), "load", "--server", server.address, "--duration", f"{seconds:.0f}s", "--warmup", "1s",
         "--concurrency", "4", "--rpcs", "quantize:3,dequantize:2,fake-quantize:1,error:1",
         "--sizes", "256:4,64KiB:4,1MiB:1,3MiB:1", "--schemes", "asymmetric,symmetric", "--verify", "0.1"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def watch(pid, end, warm):
    """(seconds, bytes, descriptors), each second from `warm` to `end`."""
    begin = time.monotonic()
    seen = []
    while (now := time.monotonic()) < end:
        if now >= warm:
            seen.append((now - begin, resident_bytes(pid), descriptors(pid)))
        time.sleep(1)
    return seen


def check(what, values, slack, ceiling):
    """What is wrong with `values`, which must not rise and not pass `ceiling`."""
    third = max(1, len(values) // 3)
    first, last = statistics.median(values[:third]), statistics.median(values[-third:])
    print(f"{what}: median {first:.0f} at first, {last:.0f} at last, {max(values):.0f} at most")
    faults = []
    if last > first * 1.1 + slack:
        faults.append(f"{what} rose from {first:.0f} to {last:.0f}; must stay flat")
    if max(values) > ceiling:
        faults.append(f"{what}: {max(values):.0f} at most; must be at most {ceiling:.0f}")
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("minutes", nargs="?", type=float, default=10)
    seconds = 60 * parser.parse_args().minutes
    server = ServerProcess("--threads=2", f"--max-message-bytes={MESSAGE_BYTES}", "--max-buffered-bytes=4MiB",
                           f"--max-bytes-in-flight={BUDGET}", "--log-level=error")
    pid = server.process.pid
    storm = test_storm.Storm(server, load_stubs()[0], seconds)
    idle = (resident_bytes(pid), descriptors(pid))
    begin = time.monotonic()
    end = begin + seconds
    storm.start(test_storm.KINDS)
    coming = threading.Thread(target=come_and_go, args=(server, end), daemon=True)
    coming.start()
    load = start_load(server, seconds - 2)
    seen = watch(pid, end, begin + seconds / 3)
    report, _ = load.communicate(timeout=120)
    storm.join()
    coming.join(60)
    time.sleep(QUIET_SECONDS)
    quiet = (resident_bytes(pid), descriptors(pid))

    out = ROOT / "build" / "soak"
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "soak.csv", "w", newline="") as file:
        csv.writer(file).writerows([("seconds", "bytes", "descriptors"), *seen])
    print(report.strip())
    print(sorted((kind, code.name, count) for (kind, code), count in storm.outcomes.items()))
    faults = check("bytes", [row[1] for row in seen], KEPT_AT_EASE, MEMORY_CEILING)
    faults += check("descriptors", [row[2] for row in seen], 8, DESCRIPTOR_CEILING)
    print(f"quiet again: {quiet[0] >> 20} MiB after {idle[0] >> 20}, {quiet[1]} descriptors after {idle[1]}")
    # A third of the budget: pages that malloc cannot give back for what lies beside them.
    if quiet[0] > idle[0] + BUDGET // 3:
        faults.append(f"{quiet[0] >> 20} MiB once it is quiet; were {idle[0] >> 20} before")
    if quiet[1] > idle[1] + 8:
        faults.append(f"{quiet[1]} descriptors once it is quiet; were {idle[1]} before")
    if load.returncode != 0:
        faults.append(f"the load tester exited with {load.returncode}")
    if server.stop() != 0:
        faults.append(f"the server's end\n{server.stderr()}")
    for fault in faults:
        print(f"soak: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

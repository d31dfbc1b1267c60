"""The servers that are measured, and the load tester that calls them."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "end_to_end"))

import process_usage  # noqa: E402

GB = 1e9
KIB, MIB = 1 << 10, 1 << 20


# What tests/bench/peer_server can be.
PEERS = ("nothing", "reactor", "bare", "parsed", "generated")


class Server:
    """A process that prints `listening on ADDRESS`; ended by its own id."""

    def __init__(self, command, env=None):
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={**os.environ, **(env or {})}
        )
        try:
            line = self.process.stdout.readline()
            if not line.startswith("listening on "):
                raise RuntimeError(f"{command[0]}: does not serve: {line!r}")
        except BaseException:  # also that of being told to end meanwhile
            self.process.kill()
            raise
        self.address = line.split()[-1]

    def cpu_seconds(self):
        return process_usage.cpu_seconds(self.process.pid)

    def resident_bytes(self):
        return process_usage.resident_bytes(self.process.pid)

    def peak_bytes(self):
        return process_usage.peak_bytes(self.process.pid)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def command_of(build, name, address):
    peer = str(build / "tests" / "peer_server")
    return {
        "halfstep": [
            str(build / "bin" / "halfstep-server"), f"--listen={address}", "--log-level=error",
        ],
        **{side: [peer, side, address] for side in PEERS},
        "numpy": ["/usr/bin/python3", str(ROOT / "tests/bench/numpy_server.py"), address],
    }[name]  # fmt: skip


def copied(command, folder):
    """`command` with a copy of its program, if that is one of ours.

    Where the pages of a process and of its file happen to lie makes a server up to a tenth
    faster or slower for as long as both exist.
    """
    if ROOT not in pathlib.Path(command[0]).parents:
        return command
    folder.mkdir()
    return [shutil.copy(command[0], folder), *command[1:]]


@contextlib.contextmanager
def servers(build, stubs, transport, sides):
    """A server for each of `sides`, on TCP or each on a socket of its own.

    `sides` is names of command_of, or a dict from labels to (name, arguments).
    """
    if not isinstance(sides, dict):
        sides = {name: (name, []) for name in sides}
    running = {}
    with tempfile.TemporaryDirectory(prefix="halfstep_bench_") as scratch:
        try:
            for number, (label, (name, arguments)) in enumerate(sides.items()):
                address = f"unix:{scratch}/{number}" if transport == "unix" else "127.0.0.1:0"
                command = copied(
                    command_of(build, name, address), pathlib.Path(scratch, f"{number}.bin")
                ) + arguments
                running[label] = Server(command, {"PYTHONPATH": stubs})
            yield running
        finally:
            for server in running.values():
                server.stop()


def load_command(build, server, seconds, *options):
    return [
        str(build / "bin" / "halfstep"), "--server", server.address, "--json", "load",
        "--duration", f"{seconds}s", "--warmup", f"{seconds / 4}s", *map(str, options),
    ]  # fmt: skip


def step_of(output):
    """The one step of a run of the load tester, from what it wrote."""
    report = json.loads(output)
    (step,) = report["steps"]
    return step


def load(build, server, seconds, *options):
    """One step of the load tester. A failed call fails the run."""
    done = subprocess.run(
        load_command(build, server, seconds, *options),
        stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"load against {server.address} failed: {done.stdout[-500:]}")
    return step_of(done.stdout)


def closed_loop(build, server, size, concurrency, seconds, *options):
    """Calls one after the other, with the server's CPU time."""
    before = server.cpu_seconds()
    step = load(
        build, server, seconds, "--sizes", size, "--concurrency", concurrency,
        "--channels", min(concurrency, 4), *options,
    )  # fmt: skip
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

"""SIGKILL, again and again, under clients that try again: every answer must be right.

A server listens on a port of its own; four clients call it without a pause, through
grpcio with gRPC's own retries and the client's patience on top, as a user would have
it. Over and over the server is killed in the middle of their calls and started anew
on the same port. It keeps no state, so nothing may be lost but calls in flight, and
trying again must make up for those: each call of a client ends with the one right
answer, bit for bit, or the test fails. So it does if the server does not serve again
in time, or if a round goes by without an answer.
"""

import argparse
import collections
import json
import signal
import socket
import sys
import threading
import time

import grpc
import numpy as np

from server_process import UNLIMITED, ServerProcess, load_stubs

CLIENTS = 4
PATIENCE_SECONDS = 60  # of a client, for one answer
RESTART_SECONDS = 30  # until the server serves again; generous: machines are shared
QUANTIZE = "/halfstep.v1.QuantizationService/Quantize"
CONFIG = json.dumps({"methodConfig": [{
    "name": [{"service": "halfstep.v1.QuantizationService"}],
    "retryPolicy": {
        "maxAttempts": 5, "initialBackoff": "0.02s", "maxBackoff": "0.2s", "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
    },
}]})
# A connection that breaks is tried again at once, not after seconds.
OPTIONS = UNLIMITED + [
    ("grpc.service_config", CONFIG), ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 20), ("grpc.min_reconnect_backoff_ms", 20),
    ("grpc.max_reconnect_backoff_ms", 200),
]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Clients:
    """Threads that call until they are stopped, and check each answer."""

    def __init__(self, address):
        self.address = address
        self.pb = load_stubs()[0]
        self.stopped = threading.Event()
        self.counts = collections.Counter()
        self.faults = []
        # From what is computed where it arrives to what comes in many pieces.
        self.cases = [self.case(count, seed) for seed, count in enumerate([16, 5_000, 300_000])]
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True) for i in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def case(self, count, seed):
        """A request, and the codes that numerics.md gives it: symmetric, 8 bits, scale 1/64."""
        reals = np.random.default_rng(seed).uniform(-2.5, 2.5, count).astype("<f4")
        codes = np.clip(np.rint(reals * np.float32(64)), -128, 127).astype(np.int8)
        request = self.pb.QuantizeRequest(
            tensor=self.pb.Tensor(dtype=self.pb.DATA_TYPE_FLOAT32, shape=[count], data=reals.tobytes()),
            parameters=self.pb.QuantizationParameters(
                spec=self.pb.QuantizationSpec(scheme=self.pb.SCHEME_SYMMETRIC), scale=[1 / 64]))
        return request.SerializeToString(), codes.tobytes()

    def run(self, index):
        channel = grpc.insecure_channel(self.address, options=OPTIONS)
        call = channel.unary_unary(QUANTIZE, request_serializer=bytes,
                                   response_deserializer=self.pb.QuantizeResponse.FromString)
        turn = index
        while not self.stopped.is_set() and not self.faults:
            request, codes = self.cases[turn % len(self.cases)]
            turn += 1
            self.answer(call, request, codes)
        channel.close()

    def answer(self, call, request, codes):
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                reply = call(request, timeout=PATIENCE_SECONDS)
            except grpc.RpcError as error:
                self.counts[error.code().name] += 1
                # UNAVAILABLE: gRPC's own attempts are used up.
                if error.code() != grpc.StatusCode.UNAVAILABLE or time.monotonic() > end:
                    self.faults.append(f"{error.code().name}: {error.details()}")
                    return
                time.sleep(0.02)
                continue
            if reply.tensor.codes != codes:
                self.faults.append("a wrong answer")
            self.counts["right"] += 1
            return

    def await_answers(self, count):
        """Waits for `count` further answers."""
        goal = self.counts["right"] + count
        end = time.monotonic() + PATIENCE_SECONDS
        while self.counts["right"] < goal and not self.faults:
            if time.monotonic() > end:
                self.faults.append(f"no {count} answers within {PATIENCE_SECONDS} s")
            time.sleep(0.005)

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join(PATIENCE_SECONDS + 10)
            if thread.is_alive():
                self.faults.append("a call that never ends")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("count", nargs="?", type=int, default=200)
    count = parser.parse_args().count
    address = f"127.0.0.1:{free_port()}"
    flags = ("--threads=2", "--log-level=error")
    rng = np.random.default_rng(5)
    begin = time.monotonic()
    server = ServerProcess(*flags, listen=(address,))
    clients = Clients(address)
    slowest = 0.0
    for round_ in range(count):
        clients.await_answers(20)
        time.sleep(rng.uniform(0, 0.05))  # somewhere in the calls that are under way
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        server.channel.close()
        killed = time.monotonic()
        server = ServerProcess(*flags, listen=(address,))
        slowest = max(slowest, time.monotonic() - killed)
        if slowest > RESTART_SECONDS:
            clients.faults.append(f"round {round_}: {slowest:.1f} s to serve again; must be {RESTART_SECONDS}")
        if clients.faults:
            break
    clients.await_answers(20)
    clients.stop()
    if server.stop() != 0:
        clients.faults.append(f"the last server's end\n{server.stderr()}")
    print(f"restarts: {round_ + 1} in {time.monotonic() - begin:.0f} s, the slowest took {slowest:.2f} s to serve again; "
          f"answers and failed attempts: {dict(clients.counts)}")
    for fault in clients.faults:
        print(f"restarts: {fault}", file=sys.stderr)
    return 1 if clients.faults else 0


if __name__ == "__main__":
    sys.exit(main())

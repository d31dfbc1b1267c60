"""A ledger of calls: every call that was begun, and what became of it.

Callers of a library that is not ours (grpcio) send calls in a closed loop until
they are told to stop. Each reply is compared, byte for byte, with the reply that
tests/end_to_end/expected_replies.py, a second implementation, demands. A call is
one entry whatever gRPC tries on its behalf, and ends in exactly one of

    right      the demanded reply, with the request id that was sent
    wrong      any other reply
    failed     a status, counted by its code
    missing    neither, within the deadline and a grace: an answer that was lost

As a program: runs until SIGTERM, SIGINT or --seconds, and prints the ledger as
JSON. Exits with 1 if an entry is wrong or missing.
"""

import argparse
import collections
import json
import pathlib
import signal
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "end_to_end"))

import grpc  # noqa: E402
import numpy as np  # noqa: E402

import expected_replies  # noqa: E402
from server_process import UNLIMITED, load_stubs  # noqa: E402

pb, services = load_stubs()

# What client/service_config.h says for clients in C++, and docs/scaling.md for
# all others.
SERVICE_CONFIG = json.dumps({
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [{
        "name": [{"service": "halfstep.v1.QuantizationService"},
                 {"service": "halfstep.v1.CalibrationService"},
                 {"service": "grpc.health.v1.Health", "method": "Check"}],
        "retryPolicy": {"maxAttempts": 5, "initialBackoff": "0.1s", "maxBackoff": "2s",
                        "backoffMultiplier": 2,
                        "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"]},
    }],
    "retryThrottling": {"maxTokens": 1000, "tokenRatio": 0.1},
})
# Longer than any call may take here; an entry without an end after that is lost.
DEADLINE_SECONDS = 20
GRACE_SECONDS = 10
CASES = 48


def channel_to(address, retries=True):
    """A channel of its own that spreads its calls over what `address` resolves to."""
    options = UNLIMITED + [
        ("grpc.use_local_subchannel_pool", 1),
        # gRPC's default would not send a larger request again.
        ("grpc.per_rpc_retry_buffer_size", 2**31 - 1),
        ("grpc.enable_http_proxy", 0),
    ]
    if retries:
        options.append(("grpc.service_config", SERVICE_CONFIG))
    else:
        options.append(("grpc.enable_retries", 0))
    return grpc.insecure_channel(address, options=options)


def make_cases(seed=20, count=CASES, elements_max=16_384):
    """Requests of many shapes and choices, each with the reply it must have."""
    rng = np.random.default_rng(seed)
    cases = []
    for number in range(count):
        rows = int(rng.integers(1, 64))
        columns = int(rng.integers(1, elements_max // 64))
        reals = rng.normal(0, 10.0 ** rng.integers(-3, 4), (rows, columns)).astype("<f4")
        spec = pb.QuantizationSpec(bits=int(rng.choice([2, 4, 8, 12])),
                                   scheme=int(rng.integers(1, 3)))
        if number % 3 == 0:
            spec.granularity.axis = 0
        if number % 4 == 0:
            spec.packing = pb.PACKING_DENSE
        request = pb.QuantizeRequest(
            spec=spec, measure_error=number % 2 == 0,
            tensor=pb.Tensor(dtype=pb.DATA_TYPE_FLOAT32, shape=reals.shape,
                             data=reals.tobytes()))
        cases.append((request, expected_replies.quantize(request)))
    return cases


class Ledger:
    """Callers of `address` from start() to stop(). Thread-safe."""

    def __init__(self, address, callers=4, channels=2, retries=True, cases=None,
                 pause_seconds=0.0):
        self._cases = cases or make_cases()
        self._channels = [channel_to(address, retries) for _ in range(channels)]
        self._pause = pause_seconds
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._begun = 0
        self._right = []
        self._wrong = []
        self._failed = collections.Counter()
        self._failures = []
        self._latencies = []
        self._threads = [
            threading.Thread(target=self._call_in_a_loop, args=(caller,), daemon=True)
            for caller in range(callers)]

    def start(self):
        self._start = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def right(self):
        """Right answers so far."""
        with self._lock:
            return len(self._right)

    def right_ids(self):
        """The request ids of the right answers."""
        with self._lock:
            return set(self._right)

    def wait_for(self, count, timeout=60):
        """Waits for `count` right answers more than there are."""
        target, end = self.right() + count, time.monotonic() + timeout
        while self.right() < target:
            if time.monotonic() > end:
                raise AssertionError(f"{self.right()} right answers; must become {target}: "
                                     f"{self.summary()}")
            time.sleep(0.02)

    def stop(self):
        """Lets every call end, and returns the summary."""
        self._stopping.set()
        end = time.monotonic() + DEADLINE_SECONDS + GRACE_SECONDS
        for thread in self._threads:
            thread.join(max(0.1, end - time.monotonic()))
        summary = self.summary()
        for channel in self._channels:
            channel.close()
        return summary

    def summary(self):
        with self._lock:
            failed = sum(self._failed.values())
            latencies = sorted(self._latencies) or [0]
            return {
                "begun": self._begun,
                "right": len(self._right),
                "wrong": len(self._wrong),
                "failed": dict(self._failed),
                "missing": self._begun - len(self._right) - len(self._wrong) - failed,
                "seconds": round(time.monotonic() - self._start, 2),
                "p50_ms": round(1e3 * latencies[len(latencies) // 2], 2),
                "p99_ms": round(1e3 * latencies[len(latencies) * 99 // 100], 2),
                "max_ms": round(1e3 * latencies[-1], 2),
                "examples": self._wrong[:3] + self._failures[:3],
            }

    def _call_in_a_loop(self, caller):
        channel = self._channels[caller % len(self._channels)]
        method = services.QuantizationServiceStub(channel).Quantize
        number = 0
        while not self._stopping.is_set():
            request, wanted = self._cases[(caller * 7 + number) % len(self._cases)]
            request_id = f"ledger-{caller}-{number}"
            number += 1
            with self._lock:
                self._begun += 1
            begin = time.monotonic()
            try:
                reply, call = method.with_call(request, timeout=DEADLINE_SECONDS,
                                               metadata=[("x-request-id", request_id)])
            except grpc.RpcError as error:
                with self._lock:
                    self._failed[error.code().name] += 1
                    self._failures.append(f"{request_id}: {error.code().name} {error.details()}")
                # A server that refuses is not to be hammered.
                self._stopping.wait(0.02)
                continue
            took = time.monotonic() - begin
            echoed = dict(call.trailing_metadata() or ()).get("x-request-id")
            with self._lock:
                self._latencies.append(took)
                if expected_replies.same(reply, wanted) and echoed == request_id:
                    self._right.append(request_id)
                else:
                    self._wrong.append(f"{request_id}: answered as {echoed}")
            if self._pause:
                self._stopping.wait(self._pause)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--server", required=True)
    parser.add_argument("--callers", type=int, default=4)
    parser.add_argument("--channels", type=int, default=2)
    parser.add_argument("--pause", type=float, default=0.0,
                        help="seconds between an answer and a caller's next call")
    parser.add_argument("--seconds", type=float, default=600, help="at most")
    arguments = parser.parse_args()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    ledger = Ledger(arguments.server, arguments.callers, arguments.channels,
                    pause_seconds=arguments.pause)
    ledger.start()
    print("started", flush=True)
    ended.wait(arguments.seconds)
    summary = ledger.stop()
    print(json.dumps(summary), flush=True)
    sys.exit(1 if summary["wrong"] or summary["missing"] else 0)


if __name__ == "__main__":
    main()

"""Work that nobody waits for any more stops at once, and gives its budget back once.

What counts is the processor's time that the server takes from then until it holds
nothing: on a quiet machine it is the time of the clock, and on one that others use it
is still the same. To within what looking at /metrics takes, and the first notice of
the end itself, which gRPC's threads give; so the quickest of some attempts counts.
"""

import itertools
import pathlib
import threading
import time

import grpc
import numpy as np
import pytest

from exposition import scrape

MIB = 1 << 20
ELEMENTS = 12 * MIB  # of float64: long enough to be met while it is computed
STOPS_WITHIN_SECONDS = 0.010
ATTEMPTS_MIN, ATTEMPTS_MAX = 5, 40
# Also on a machine where everything is slow.
PATIENCE_SECONDS = 30


@pytest.fixture
def busy(start_server):
    """A server that one such call fills: what is not given back is missed at once."""
    return start_server("--threads=1", "--admin-listen=127.0.0.1:0", "--max-message-bytes=100MiB",
                        "--max-bytes-in-flight=210MiB", "--max-waiting-calls=1")


@pytest.fixture(scope="module")
def request_bytes(pb):
    """16-bit codes with their error, in groups of 16: much to do for each byte."""
    reals = np.random.default_rng(3).normal(size=ELEMENTS)
    spec = pb.QuantizationSpec(bits=16, granularity=pb.Granularity(group=pb.Granularity.Group(axis=0, size=16)))
    return pb.QuantizeRequest(
        tensor=pb.Tensor(dtype=pb.DATA_TYPE_FLOAT64, shape=[ELEMENTS], data=reals.tobytes()),
        spec=spec, measure_error=True).SerializeToString()


def in_phase(server, phase):
    return scrape(server).sum("halfstep_calls_in_flight", phase=phase)


def processor_seconds(server):
    """Processor time of all threads so far. None of them ends while calls are served."""
    tasks = pathlib.Path(f"/proc/{server.process.pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def await_idle(server, since):
    """Waits until nothing is held, and returns the processor time from `since` to then."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        spent = processor_seconds(server) - since
        if scrape(server).sum("halfstep_bytes_in_flight") == 0:
            return spent
        assert time.monotonic() < end, server.page("/metrics")[1]
        time.sleep(0.002)


def enough(took):
    return len(took) >= ATTEMPTS_MAX or (len(took) >= ATTEMPTS_MIN and min(took) < STOPS_WITHIN_SECONDS)


def start(server, request, timeout=None):
    call = server.channel.unary_unary("/halfstep.v1.QuantizationService/Quantize",
                                      request_serializer=bytes, response_deserializer=bytes)
    return call.future(request, timeout=timeout)


def test_cancelled_work_stops(busy, request_bytes):
    took = []
    while not enough(took):
        future = start(busy, request_bytes)
        end = time.monotonic() + PATIENCE_SECONDS
        while not in_phase(busy, "compute") and not future.done():
            assert time.monotonic() < end
        now = processor_seconds(busy)
        future.cancel()
        seconds = await_idle(busy, now)
        # What was done before it could be cancelled counts as no attempt that succeeds.
        took.append(seconds if future.cancelled() else PATIENCE_SECONDS)
    print("cancelled:", [f"{seconds * 1e3:.1f} ms" for seconds in sorted(took)])
    assert min(took) < STOPS_WITHIN_SECONDS, took
    assert len(start(busy, request_bytes).result(PATIENCE_SECONDS)) > ELEMENTS


def test_expired_work_stops(busy, request_bytes):
    begin = time.monotonic()
    start(busy, request_bytes).result(PATIENCE_SECONDS)
    whole = time.monotonic() - begin
    took = []
    for share in itertools.cycle(np.linspace(0.1, 0.9, 9)):
        if enough(took):
            break
        # All over the call: some of them while it is read, some while it is computed.
        timeout = whole * share
        over = threading.Event()
        future = start(busy, request_bytes, timeout)
        future.add_done_callback(lambda _, over=over: over.set())
        assert over.wait(PATIENCE_SECONDS)
        seconds = await_idle(busy, processor_seconds(busy))
        took.append(seconds if future.code() == grpc.StatusCode.DEADLINE_EXCEEDED else PATIENCE_SECONDS)
    print("expired:", [f"{seconds * 1e3:.1f} ms" for seconds in sorted(took)])
    assert min(took) < STOPS_WITHIN_SECONDS, took
    assert len(start(busy, request_bytes).result(PATIENCE_SECONDS)) > ELEMENTS

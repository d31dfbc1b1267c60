"""SIGTERM under load, with a ledger of every call.

Each call gets exactly one whole right answer, or UNAVAILABLE; nothing else.
TEST_SHUTDOWN_ROUNDS says how often (6 by default).
"""
import collections
import os
import signal
import subprocess
import sys
import threading
import time

import grpc
import health_pb2
import health_pb2_grpc
import numpy as np
import pytest

from process_usage import resident_bytes
from server_process import ServerProcess, load_stubs

ROUNDS = int(os.environ.get("TEST_SHUTDOWN_ROUNDS", "6"))
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1),
           ("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]


def reals(count, seed):
    return np.random.default_rng(seed).standard_normal(count).astype("<f4")


class Caller(threading.Thread):
    """Calls until it is told to stop, and writes down how each call ended."""

    def __init__(self, address, kind, right=None):
        super().__init__()
        self.address, self.kind, self.right = address, kind, right
        self.ledger = collections.Counter()
        self.stopping = threading.Event()
        self.pb, self.services = load_stubs()

    def request(self):
        count = {"small": 1000, "large": 4 << 20, "stream": 1 << 18}[self.kind]
        data = reals(count, 7).tobytes()
        return self.pb.QuantizeRequest(tensor=self.pb.Tensor(dtype=1, shape=[count], data=data))

    def call(self, channel, request):
        if self.kind != "stream":
            return self.services.QuantizationServiceStub(channel).Quantize(request, timeout=60)
        observed = self.pb.ObserveRequest(tensor=request.tensor)
        return self.services.CalibrationServiceStub(channel).Observe(iter([observed] * 4), timeout=60)

    def run(self):
        request = self.request()
        channel = grpc.insecure_channel(self.address, options=OPTIONS)
        while not self.stopping.is_set():
            self.ledger["sent"] += 1
            try:
                answer = self.call(channel, request)
                self.ledger["right" if answer == self.right else "WRONG"] += 1
            except grpc.RpcError as error:
                self.ledger[error.code().name] += 1
                if error.code() != UNAVAILABLE:
                    self.ledger[f"OTHER {error.code().name}: {error.details()}"] += 1
                time.sleep(0.001)
        channel.close()


KINDS = ["small", "small", "small", "large", "large", "stream", "stream"]


@pytest.fixture(scope="module")
def right_answers():
    server = ServerProcess()
    answers = {}
    for kind in set(KINDS):
        caller = Caller(server.address, kind)
        answers[kind] = caller.call(server.channel, caller.request())
    assert server.stop() == 0
    return answers


@pytest.mark.parametrize("round_number", range(ROUNDS))
def test_sigterm_under_load_loses_no_answer(right_answers, round_number):
    server = ServerProcess("--log-level=error", "--threads=2")
    callers = [Caller(server.address, kind, right_answers[kind]) for kind in KINDS]
    for caller in callers:
        caller.start()
    # Not always at the same moment of the calls.
    time.sleep(0.5 + 0.037 * round_number)
    server.process.send_signal(signal.SIGTERM)
    code = server.process.wait(timeout=40)
    time.sleep(0.1)
    total = collections.Counter()
    for caller in callers:
        caller.stopping.set()
    for caller in callers:
        caller.join(timeout=60)
        assert not caller.is_alive()
        total += caller.ledger
    print(dict(total), file=sys.stderr)
    assert code == 0
    assert total["WRONG"] == 0
    assert total["sent"] == total["right"] + total["UNAVAILABLE"], total
    assert total["right"] > 20 and total["UNAVAILABLE"] > 0
    assert server.stderr() == ""


def check(channel):
    return health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10).status


def test_drain_delay_takes_calls_while_health_says_no(pb):
    server = ServerProcess("--drain-delay=1.5s")
    assert check(server.channel) == SERVING
    begin = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    while check(server.channel) == SERVING:
        assert time.monotonic() < begin + 1
    calls = 0
    # On old connections and on new ones.
    while time.monotonic() < begin + 1:
        server.quantization.GetServerInfo(pb.GetServerInfoRequest(), timeout=5)
        with server.new_channel() as channel:
            load_stubs()[1].QuantizationServiceStub(channel).GetServerInfo(
                pb.GetServerInfoRequest(), timeout=5)
        calls += 2
    assert calls > 10
    assert server.process.wait(timeout=30) == 0
    assert time.monotonic() - begin >= 1.5


def hanging_call(server):
    over = threading.Event()

    def messages():
        over.wait(60)
        yield b""

    call = server.channel.stream_unary("/halfstep.v1.QuantizationService/Quantize").future(messages())
    server.quantization.GetServerInfo(server.messages.GetServerInfoRequest())
    return call, over


def test_what_is_left_after_the_drain_timeout_is_cancelled():
    server = ServerProcess("--drain-timeout=1s")
    call, over = hanging_call(server)
    begin = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(timeout=30) == 0
    assert 1 <= time.monotonic() - begin < 10
    assert call.exception().code() == UNAVAILABLE
    over.set()


def test_a_second_signal_ends_it_at_once():
    server = ServerProcess("--drain-timeout=60s")
    call, over = hanging_call(server)
    server.process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        server.process.wait(timeout=1)
    begin = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(timeout=30) == 0
    assert time.monotonic() - begin < 10
    assert call.exception().code() == UNAVAILABLE
    over.set()


def test_a_large_reply_that_is_being_taken_arrives_whole(pb):
    """A client that is slow to take 64 MiB is waited for."""
    server = ServerProcess()
    data = reals(16 << 20, 3)
    tensor = pb.Tensor(dtype=1, shape=[len(data)], data=data.tobytes())
    call = server.quantization.FakeQuantize.future(pb.FakeQuantizeRequest(tensor=tensor))
    while resident_bytes(server.process.pid) <= 100 << 20 and not call.done():
        time.sleep(0.002)
    server.process.send_signal(signal.SIGTERM)
    try:
        assert len(call.result().tensor.data) == 64 << 20
    except grpc.RpcError as error:  # it had not been taken up
        assert error.code() == UNAVAILABLE
    assert server.process.wait(timeout=40) == 0

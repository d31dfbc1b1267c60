"""A storm of cancelled, oversized, malformed and ordinary calls, all at a time.

Under a sanitizer above all (./dev ci asan). Whatever comes in between, an ordinary
call gets its one right answer or is told that the server is busy, and afterwards
the server is as it was: nothing is held, nothing was reported, and it ends with 0.
"""

import collections
import os
import random
import re
import threading
import time

import grpc
import numpy as np

from exposition import scrape

SECONDS = float(os.environ.get("STORM_SECONDS", "20"))
MIB = 1 << 20
MESSAGE_BYTES = 4 * MIB
PATH = "/halfstep.v1.QuantizationService/"
UNARY = ["Quantize", "Dequantize", "FakeQuantize", "MeasureError"]
# A report of a sanitizer, or of a C++ library that ends the process.
REPORT = re.compile(r"Sanitizer|runtime error:|terminate called|Assertion|\bINTERNAL\b")
Code = grpc.StatusCode


class Storm:
    """Threads that call one server in ways of their own until the time is over."""

    def __init__(self, server, pb, seconds):
        self.server = server
        self.pb = pb
        self.seconds = seconds
        self.end = time.monotonic() + seconds
        self.lock = threading.Lock()
        self.outcomes = collections.Counter()
        self.faults = []
        reals = np.random.default_rng(7).normal(size=MIB // 16).astype("<f4")
        self.ordinary = self.request(reals)
        self.large = self.request(np.tile(reals, 12))  # 3 MiB
        self.codes = server.quantization.Quantize(self.ordinary).tensor.codes

    def request(self, reals):
        return self.pb.QuantizeRequest(
            tensor=self.pb.Tensor(dtype=self.pb.DATA_TYPE_FLOAT32, shape=[len(reals)], data=reals.tobytes()),
            measure_error=True)

    def run(self, kind, seed):
        rng = random.Random(seed)
        channel = self.server.new_channel()
        try:
            while time.monotonic() < self.end and not self.faults:
                outcome = kind(self, channel, rng)
                with self.lock:
                    self.outcomes[kind.__name__, outcome] += 1
        except Exception as fault:
            self.faults.append(f"{kind.__name__}: {fault!r}")
        finally:
            channel.close()

    def start(self, kinds):
        """A thread for each of `kinds`."""
        self.threads = [threading.Thread(target=self.run, args=(kind, seed), daemon=True)
                        for seed, kind in enumerate(kinds)]
        for thread in self.threads:
            thread.start()

    def join(self):
        for thread in self.threads:
            thread.join(self.seconds + 120)
            assert not thread.is_alive(), "a call that never ends"
        assert not self.faults, f"{self.faults}\n{self.server.stderr()}"

    def raw(self, channel, method):
        return channel.unary_unary(PATH + method, request_serializer=bytes, response_deserializer=bytes)

    def refusal(self, call, allowed):
        """The code with which `call` fails, which must be one of `allowed`."""
        try:
            call()
        except grpc.RpcError as error:
            assert error.code() in allowed, (error.code(), error.details())
            return error.code()
        raise AssertionError("answered")


def ordinary(storm, channel, rng):
    call = channel.unary_unary(PATH + "Quantize", storm.pb.QuantizeRequest.SerializeToString,
                               storm.pb.QuantizeResponse.FromString)
    try:
        reply = call(storm.ordinary, timeout=60)
    except grpc.RpcError as error:
        assert error.code() == Code.RESOURCE_EXHAUSTED, (error.code(), error.details())
        return error.code()
    assert reply.tensor.codes == storm.codes, "a wrong answer"
    return Code.OK


def cancelled(storm, channel, rng):
    """Ended by the client, or by its deadline, at any point of the call."""
    call = channel.unary_unary(PATH + "Quantize", storm.pb.QuantizeRequest.SerializeToString, bytes)
    seconds = rng.choice([0, 0.0005, 0.002, 0.01, 0.05])
    if rng.random() < 0.5:
        future = call.future(storm.large)
        time.sleep(seconds)
        future.cancel()
    else:
        future = call.future(storm.large, timeout=seconds)
    try:
        future.result()
        return Code.OK
    except grpc.FutureCancelledError:
        return Code.CANCELLED
    except grpc.RpcError as error:
        assert error.code() in (Code.CANCELLED, Code.DEADLINE_EXCEEDED, Code.RESOURCE_EXHAUSTED), error.code()
        return error.code()


def oversized(storm, channel, rng):
    """Refused; and a connection that sends nothing else may be closed (SECURITY.md)."""
    size = rng.choice([MESSAGE_BYTES + (2 << 20), 16 * MIB])
    return storm.refusal(lambda: storm.raw(channel, "Quantize")(bytes(size), timeout=60),
                         (Code.RESOURCE_EXHAUSTED, Code.INVALID_ARGUMENT, Code.UNAVAILABLE))


def malformed(storm, channel, rng):
    """A request with bytes changed, cut off or put in, or nothing but noise."""
    start = bytearray(storm.pb.QuantizeRequest(
        spec=storm.pb.QuantizationSpec(bits=4), tensor=storm.pb.Tensor(shape=[3], values=[1, 2, 3]),
        measure_error=True).SerializeToString() if rng.random() < 0.8 else rng.randbytes(rng.randrange(200)))
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(start) + 1)
        start[at:at + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
    try:
        storm.raw(channel, rng.choice(UNARY))(bytes(start), timeout=60)
        return Code.OK  # it may have stayed a request
    except grpc.RpcError as error:
        assert error.code() in (Code.INVALID_ARGUMENT, Code.RESOURCE_EXHAUSTED, Code.FAILED_PRECONDITION), (
            error.code(), error.details())
        return error.code()


def abandoned_stream(storm, channel, rng):
    """A stream that its client leaves while it sends, or while it is answered."""
    pb = storm.pb
    call = channel.stream_stream(PATH + "QuantizeStream", pb.QuantizeStreamRequest.SerializeToString,
                                 pb.QuantizeStreamResponse.FromString)
    chunk = storm.ordinary.tensor.data
    chunks = rng.randrange(1, 12)
    how = {"parameters": pb.QuantizationParameters(scale=[0.01], zero_point=[128])}
    if rng.random() < 0.5:
        how = {"spec": pb.QuantizationSpec(bits=5)}  # holds all back until the range is known
    header = pb.QuantizeStreamHeader(dtype=pb.DATA_TYPE_FLOAT32, shape=[chunks * len(chunk) // 4], **how)

    def requests():
        yield pb.QuantizeStreamRequest(header=header)
        for _ in range(chunks):
            yield pb.QuantizeStreamRequest(data=chunk)

    stream = call(requests(), timeout=60)
    time.sleep(rng.choice([0, 0.001, 0.01]))
    stream.cancel()
    try:
        for _ in stream:
            pass
        return Code.OK
    except grpc.RpcError as error:
        assert error.code() in (Code.CANCELLED, Code.INVALID_ARGUMENT, Code.RESOURCE_EXHAUSTED), error.code()
        return error.code()


KINDS = [ordinary, ordinary, cancelled, cancelled, oversized, malformed, malformed, abandoned_stream]


def test_leaves_nothing_behind(pb, start_server):
    server = start_server(
        "--threads=2", f"--max-message-bytes={MESSAGE_BYTES}", "--max-buffered-bytes=4MiB",
        # Room for few, so that calls wait and are refused.
        "--max-bytes-in-flight=40MiB", "--max-waiting-calls=4", "--max-queued-calls=4",
        "--admin-listen=127.0.0.1:0")
    storm = Storm(server, pb, SECONDS)
    storm.start(KINDS)
    storm.join()
    print(sorted((kind, code.name, count) for (kind, code), count in storm.outcomes.items()))
    for kind in set(KINDS):
        assert sum(count for (name, _), count in storm.outcomes.items() if name == kind.__name__) > 0

    # Nothing is held, and a message of the largest size is admitted at once.
    end = time.monotonic() + 30
    while (held := scrape(server)).sum("halfstep_bytes_in_flight") or held.sum("halfstep_calls_in_flight"):
        assert time.monotonic() < end, server.page("/metrics")[1]
        time.sleep(0.05)
    largest = storm.request(np.ones(MESSAGE_BYTES // 4, "<f4"))
    assert len(server.quantization.Quantize(largest, timeout=60).tensor.codes) == MESSAGE_BYTES // 4
    assert server.quantization.Quantize(storm.ordinary, timeout=60).tensor.codes == storm.codes
    assert server.stop() == 0
    assert not REPORT.search(server.stderr()), server.stderr()

"""Attacks by hand-made HTTP/2, and what they cost.

Each has a ceiling on memory and CPU; meanwhile another client's calls are
answered, and afterwards a new connection is.
"""

import concurrent.futures
import os
import threading
import time

import grpc
import pytest

import attacks
import raw_http2 as http2
from observed import Observed, start

MIB = 1 << 20


@pytest.fixture
def server():
    running = start()
    yield running
    assert running.stop() == 0


def attack(server, name, function, *arguments, cpu_max=5, **keywords):
    with Observed(server) as observed:
        result = function(server.address, *arguments, **keywords)
    observed.check(name, cpu_max)
    return result


def test_a_message_that_declares_a_gigabyte(server):
    sent = attack(server, "declared gigabyte", attacks.declared_gigabyte)
    # At most the largest message that the server takes, and little more.
    assert sent < 300 * MIB
    assert "closed the connection of ipv4:127.0.0.1" in server.stderr()


def test_a_message_that_declares_a_gigabyte_where_4_mib_are_allowed():
    server = start("--max-message-bytes=4MiB")
    with Observed(server) as observed:
        assert attacks.declared_gigabyte(server.address) < 80 * MIB
    observed.check("declared gigabyte, 4 MiB allowed", cpu_max=5, ceiling_mib=100)
    assert server.stop() == 0


def test_gzip(server):
    found = attack(server, "gzip bomb", attacks.gzip_bomb)
    # UNIMPLEMENTED, which HPACK may write as it likes: grpc-status alone.
    assert any(kind == http2.HEADERS and flags & http2.END_STREAM for kind, flags, _, _ in found)


def test_rapid_resets(server):
    assert attack(server, "rapid resets", attacks.rapid_resets, cpu_max=10)


@pytest.mark.parametrize("path", [http2.QUANTIZE, "/grpc.health.v1.Health/Watch", "/no/method"])
def test_rapid_resets_by_four_in_few_bytes(server, path):
    def attack_by_four(address):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            return list(pool.map(lambda _: attacks.indexed_resets(address, path), range(4)))

    with Observed(server) as observed:
        assert attack_by_four(server.address) == [True] * 4
    observed.check(f"rapid resets of {path}", cpu_max=10, ceiling_mib=200)
    assert "begins calls faster than they can be cleared away" in server.stderr()


def test_a_header_in_dribbles(server):
    sent = attack(server, "HPACK string in dribbles", attacks.hpack_dribble)
    assert sent < 64 * MIB


def test_a_small_header_in_dribbles(server):
    # A whole MiB in 10,000 pieces.
    attack(server, "HPACK string in small dribbles", attacks.hpack_dribble, size=MIB, piece=100)


def test_headers_without_an_end(server):
    assert attack(server, "endless headers", attacks.endless_headers) < 256 * MIB


@pytest.mark.parametrize("flood", [attacks.empty_frames, attacks.settings_flood, attacks.ping_flood])
def test_floods_of_frames(server, flood):
    attack(server, flood.__name__, flood)


def test_a_slow_header(server):
    attack(server, "slow header", attacks.slow_header)


def test_slow_bodies(server):
    # More than the server reads at the same time: they must not shut others out.
    with Observed(server) as observed:
        attacks.slow_bodies(server.address)
    observed.check("slow bodies", cpu_max=5)
    assert observed.slowest < 4


DEQUANTIZE = "/halfstep.v1.QuantizationService/Dequantize"


def single_bits(pb, count):
    """A request of `count` bits, whose reals are 64 times as many bytes."""
    codes = pb.QuantizedTensor(dtype=2, shape=[count], codes=bytes(count // 8))
    codes.parameters.spec.bits = 1
    codes.parameters.spec.packing = pb.PACKING_DENSE
    codes.parameters.scale.append(1)
    codes.parameters.zero_point.append(0)
    return pb.DequantizeRequest(tensor=codes).SerializeToString()


def test_a_client_that_never_reads(pb, server):
    # Replies of 128 KiB: what no window holds back, since the client opens its own, and
    # takes 30 calls to fill the server's.
    body = single_bits(pb, 16384)
    assert attack(server, "never reads", attacks.never_reads, DEQUANTIZE, body) > 20 * len(body)


def test_a_client_that_takes_no_replies(pb, server):
    # Replies of 8 MiB.
    body = single_bits(pb, MIB)
    assert attack(server, "takes no replies", attacks.takes_no_replies, DEQUANTIZE, body) >= 32 * len(body)


def test_what_stalls_is_ended(pb):
    server = start("--stall-timeout=1s")
    with http2.Connection(server.address) as client:
        client.frames(0.1)
        client.open(1)
        client.send_body(1, http2.message(b"", declared=MIB))
        begin = time.monotonic()
        while not any(kind in (http2.HEADERS, http2.RST_STREAM) for kind, _, _, _ in client.frames(0.1)):
            assert time.monotonic() < begin + 15
    assert server.stop() == 0
    assert "DEADLINE_EXCEEDED" in server.stderr()


def threads_of(server):
    return len(os.listdir(f"/proc/{server.process.pid}/task"))


def test_streams_of_reflection(server):
    # Each holds a thread of gRPC's: there are no more than 16, and the rest is refused.
    channel = server.new_channel()
    reflect = channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
    idle = threads_of(server)
    done = threading.Event()
    calls = [reflect(iter(done.wait, True)) for _ in range(60)]
    refused = 0
    try:
        end = time.monotonic() + 10
        while not refused and time.monotonic() < end:
            time.sleep(0.1)
            refused = sum(call.done() and call.code() == grpc.StatusCode.RESOURCE_EXHAUSTED for call in calls)
        assert threads_of(server) <= idle + 16
        assert refused >= 60 - 16
    finally:
        done.set()
        for call in calls:
            call.cancel()
        channel.close()

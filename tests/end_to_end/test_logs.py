"""The log: one line per call, as JSON and for people, whatever clients send."""
import datetime
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import grpc
import numpy as np
import pytest

from exposition import Exposition
from raw_http2 import RawConnection
from server_process import binary, load_stubs

QUANTIZE = b"/halfstep.v1.QuantizationService/Quantize"
MADE = re.compile(r"[0-9a-f]{15}")
TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACE_PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
# Of a served call; those of a call that somebody named are there besides.
FIELDS = [
    "time", "level", "message", "method", "status", "request_id", "peer", "bytes_in", "bytes_out",
    "queue_ms", "compute_ms", "wire_ms", "total_ms",
]
WORK = ["elements", "saturated", "non_finite"]


def ramp(pb, count=1000):
    reals = np.arange(count, dtype="<f4")
    return pb.QuantizeRequest(tensor=pb.Tensor(dtype=1, shape=[count], data=reals.tobytes()))


def lines_of(text):
    """Every line as an object, of which JSON may have no other form."""
    def no_constant(name):
        raise AssertionError(f"{name} is not JSON")

    def no_twin(pairs):
        assert len({key for key, _ in pairs}) == len(pairs), pairs
        return dict(pairs)

    assert text.endswith("\n")
    return [
        json.loads(line, parse_constant=no_constant, object_pairs_hook=no_twin)
        for line in text[:-1].split("\n")
    ]


def calls_of(text):
    return [line for line in lines_of(text) if "method" in line]


def trailers_of(call):
    return {key: value for key, value in call.trailing_metadata()}


def test_one_object_per_call(pb, start_server):
    running = start_server("--log-format=json")
    reply, call = running.quantization.Quantize.with_call(
        ramp(pb), metadata=[("x-request-id", "a-1"), ("traceparent", TRACE_PARENT)]
    )
    with pytest.raises(grpc.RpcError) as raised:
        running.quantization.Quantize(pb.QuantizeRequest())
    pieces = [pb.ObserveRequest(tensor=ramp(pb).tensor) for _ in range(3)]
    running.calibration.Observe(iter(pieces))
    assert running.stop() == 0
    text = running.stderr()
    # A line is written after the answer went out: the next call's may come first.
    lines = calls_of(text)
    served, = (line for line in lines if line["request_id"] == "a-1")
    refused, = (line for line in lines if line["status"] != "OK")
    observed, = (line for line in lines if line["method"].endswith("/Observe"))
    assert len(lines) == 3

    assert list(served) == [*FIELDS[:6], "trace_id", *FIELDS[6:], *WORK]
    assert served["level"] == "info" and served["message"] == "served"
    assert served["method"] == "QuantizationService/Quantize" and served["status"] == "OK"
    assert served["request_id"] == "a-1" == trailers_of(call)["x-request-id"]
    assert served["trace_id"] == TRACE
    assert re.fullmatch(r"ipv4:127\.0\.0\.1:\d+", served["peer"])
    assert served["bytes_in"] == ramp(pb).ByteSize() and served["bytes_out"] == reply.ByteSize()
    assert [served[key] for key in WORK] == [1000, 0, 0]
    for line in (served, refused, observed):
        parts = line["queue_ms"] + line["compute_ms"] + line["wire_ms"]
        # Each of the four is rounded to the microsecond.
        assert parts == pytest.approx(line["total_ms"], abs=0.0021) or line is observed
        assert min(line["queue_ms"], line["compute_ms"], line["wire_ms"]) >= 0 < line["total_ms"]

    assert list(refused) == FIELDS
    assert refused["status"] == "INVALID_ARGUMENT" and refused["level"] == "info"
    assert refused["message"] == raised.value.details()
    assert MADE.fullmatch(refused["request_id"])
    assert refused["request_id"] == trailers_of(raised.value)["x-request-id"]
    assert observed["method"] == "CalibrationService/Observe" and observed["elements"] == 3000
    assert observed["bytes_in"] == sum(piece.ByteSize() for piece in pieces)


def test_what_happens_to_the_server(start_server):
    running = start_server("--log-format=json", "--admin-listen=127.0.0.1:0")
    running.process.send_signal(signal.SIGHUP)
    running.await_log("configuration reloaded")
    assert running.stop() == 0
    lines = lines_of(running.stderr())
    texts = [line["message"] for line in lines]
    for line in lines:
        assert list(line) == ["time", "level", "message"] and line["level"] == "info"
        assert line["time"].endswith("Z")
        age = datetime.datetime.now(datetime.timezone.utc) - datetime.datetime.fromisoformat(
            line["time"].replace("Z", "+00:00")
        )
        assert datetime.timedelta(0) <= age < datetime.timedelta(minutes=5)
    assert texts[0].startswith("admin on 127.0.0.1:")
    assert texts[1].startswith(f"serving at {running.address} with ")
    assert texts[-2:] == ["shutting down with 0 calls in flight", "stopped"]
    assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)


@pytest.mark.parametrize("flags, is_json", [
    ([], False),
    (["--production"], True),
    (["--production", "--log-format=text"], False),
    (["--log-format=auto"], False),
    (["--log-format=json"], True),
])
def test_the_format_that_is_chosen(pb, start_server, flags, is_json):
    running = start_server(*flags)
    running.quantization.Quantize(ramp(pb))
    assert running.stop() == 0
    if is_json:
        assert len(calls_of(running.stderr())) == 1
    else:
        line = r"Quantize peer=\S+ request_id=[0-9a-f]{15} in=\d+ .* status=OK\n"
        assert len(re.findall(line, running.stderr())) == 1


def test_a_format_that_there_is_not():
    ended = subprocess.run(
        [binary("halfstep-server"), "--log-format=xml"], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("halfstep-server: --log-format: xml; must be") and ended.stderr.count("\n") == 1


@pytest.mark.parametrize("given, is_taken", [
    ("a", True),
    ("A-1_b.c:d/e+f=@", True),
    ("x" * 128, True),
    ("x" * 129, False),
    ("two words", False),
    ('"},{"level":"error"', False),
    ("${jndi:ldap://a}", False),
    ("<script>", False),
    ("a,b", False),
    ("%0a%00", False),
])
def test_a_request_id_that_is_given(pb, server, given, is_taken):
    # Twice the same id is once too often: who asks decides.
    _, call = server.quantization.Quantize.with_call(ramp(pb), metadata=[("x-request-id", given)])
    returned = trailers_of(call)["x-request-id"]
    assert (returned == given) == is_taken
    assert is_taken or MADE.fullmatch(returned)


def test_request_ids_that_are_made_differ(pb, server):
    made = {
        trailers_of(server.quantization.Quantize.with_call(ramp(pb))[1])["x-request-id"] for _ in range(100)
    }
    assert len(made) == 100 and all(MADE.fullmatch(identifier) for identifier in made)


# What HTTP/2 can carry and no library sends. NUL, CR and LF are not allowed in a
# field's value (RFC 9113, 8.2.1): what gRPC does with them is its business, but
# they must not end up in a line.
HOSTILE = [
    b'"},{"level":"error","message":"forged',
    b"a\\",
    b"\\u0000\\n",
    b"a\nb",
    b"a\r\n2026-11-24T00:00:00.000Z error forged",
    b"a\0b",
    b"\x1b[2J\x1b]0;title\x07",
    b"\x7f\x80\x9b31m",
    b"\xff\xfe\xfd",
    b"\xc3\xa9\xe2\x80\xae\xf0\x9f\x98\x80",
    b"\xed\xa0\x80\xc0\xaf",
    b"%0a%00%1b",
    b"x" * 4000,
]


@pytest.mark.parametrize("form", ["json", "text"])
def test_hostile_metadata(pb, start_server, form):
    running = start_server(f"--log-format={form}")
    for text in HOSTILE:
        for name in (b"x-request-id", b"traceparent", b"user-agent", b"authorization", b":authority"):
            connection = RawConnection(running.address)
            connection.socket.settimeout(0.2)
            try:
                connection.call([QUANTIZE], [(name, text)])
            except TimeoutError:
                pass  # gRPC reset the stream
            connection.socket.close()
    running.quantization.Quantize(ramp(pb))
    assert running.stop() == 0
    log = running.stderr()
    assert "forged" not in log
    check_that_it_is_clean(log, form)
    if form == "json":
        calls = calls_of(log)
        assert len(calls) > len(HOSTILE)
        for line in calls:
            assert MADE.fullmatch(line["request_id"])
            assert set(line) <= {*FIELDS, *WORK}


def check_that_it_is_clean(log, form):
    for character in log:
        assert character == "\n" or character.isprintable(), repr(character)
    if form == "json":
        lines_of(log)
    else:
        assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \w+ ", line) for line in log.splitlines())


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_hostile_peer(start_server, tmp_path, form):
    """A client names its own end of a unix socket, and gRPC calls it by that name."""
    running = start_server(f"--log-format={form}", listen=(f"unix:{tmp_path}/s",))
    folder = os.fsencode(tmp_path)
    for index, name in enumerate([b'"},{"a":"\n', b"\x1b[2J\xff", b"a b=c"]):
        connection = RawConnection(running.address, folder + b"/%d" % index + name)
        assert connection.call([QUANTIZE]) == 1
        connection.socket.close()
    assert running.stop() == 0
    log = running.stderr()
    check_that_it_is_clean(log, form)
    if form == "json":
        assert len(calls_of(log)) == 3
        assert all(line["peer"].startswith("unix:") for line in calls_of(log))


def test_messages_that_quote_what_was_sent(pb, start_server):
    """What comes back in a message comes back in the log, whole and on one line."""
    running = start_server("--log-format=json")
    requests = [
        pb.QuantizeRequest(spec=pb.QuantizationSpec(bits=4294967295), tensor=ramp(pb).tensor),
        pb.QuantizeRequest(spec=pb.QuantizationSpec(scheme=77), tensor=ramp(pb).tensor),
        pb.QuantizeRequest(tensor=pb.Tensor(dtype=1, shape=[-(1 << 63)])),
        pb.QuantizeRequest(tensor=pb.Tensor(dtype=2, shape=[1], values=[float("nan")])),
        pb.QuantizeRequest(
            spec=pb.QuantizationSpec(clamp=pb.ClampRange(min=float("nan"), max=float("inf"))), tensor=ramp(pb).tensor
        ),
    ]
    details = []
    for request in requests:
        with pytest.raises(grpc.RpcError) as raised:
            running.quantization.Quantize(request)
        details.append(raised.value.details())
    assert running.stop() == 0
    assert sorted(line["message"] for line in calls_of(running.stderr())) == sorted(details)


def test_lines_that_nobody_takes(pb, tmp_path):
    """Calls do not wait for the log; what is lost is counted, and what is written is whole."""
    listen, admin = tmp_path / "s", tmp_path / "a"
    process = subprocess.Popen(
        [binary("halfstep-server"), f"--listen=unix:{listen}", f"--admin-listen=unix:{admin}", "--log-format=json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    try:
        assert process.stdout.readline() == f"listening on unix:{listen}\n"
        connection = RawConnection(f"unix:{listen}")
        # More than may wait in the server, and what the pipe holds.
        count = 12_000
        for _ in range(count // 100):
            assert connection.call([QUANTIZE] * 100) == 100
        connection.socket.close()
        # A call is counted before its line is written.
        dropped, before = 0, -1
        while dropped != before:
            time.sleep(0.2)
            with socket.socket(socket.AF_UNIX) as asking:
                asking.connect(str(admin))
                asking.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
                page = b"".join(iter(lambda: asking.recv(65536), b"")).decode()
            seen = Exposition(page.split("\r\n\r\n", 1)[1])
            before, dropped = dropped, seen.sum("halfstep_log_lines_dropped_total")
        assert seen.sum("grpc_server_handled_total") == count
        text = []
        reader = threading.Thread(target=lambda: text.append(process.stderr.read()))
        reader.start()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
        reader.join()
        # The last words of the server may take the place of a call's.
        assert 0 <= count - dropped - len(calls_of(text[0])) <= 3
        assert 1000 < dropped < count
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stdout.close()
        process.stderr.close()


def test_a_call_that_is_cancelled(pb, start_server):
    running = start_server("--log-format=json")
    never = threading.Event()

    def nothing():
        never.wait(60)
        yield b""

    call = running.channel.stream_unary(QUANTIZE.decode()).future(
        nothing(), metadata=[("x-request-id", "gone")]
    )
    running.quantization.GetServerInfo(load_stubs()[0].GetServerInfoRequest())
    call.cancel()
    running.await_log('"request_id":"gone"')
    never.set()
    assert running.stop() == 0
    line = next(line for line in calls_of(running.stderr()) if line["request_id"] == "gone")
    assert line["status"] == "CANCELLED" and line["message"] == "the client has gone"

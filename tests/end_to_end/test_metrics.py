"""What /metrics says, and that no client can make it say more."""
import datetime
import json
import re
import signal
import threading
import time

import grpc
import numpy as np
import pytest

from certificates import Authority
from exposition import scrape
from raw_http2 import RawConnection
from server_process import ROOT

ADMIN = "--admin-listen=127.0.0.1:0"
MIB = 1 << 20
QUANTIZATION = "halfstep.v1.QuantizationService"
METHODS = {
    "Quantize": "unary",
    "Dequantize": "unary",
    "FakeQuantize": "unary",
    "MeasureError": "unary",
    "GetServerInfo": "unary",
    "QuantizeStream": "bidi_stream",
    "DequantizeStream": "bidi_stream",
    "Observe": "client_stream",
    "Merge": "unary",
    "ComputeParameters": "unary",
}
# In the order of their numbers, as go-grpc-prometheus spells them.
CODES = (
    "OK Canceled Unknown InvalidArgument DeadlineExceeded NotFound AlreadyExists PermissionDenied "
    "ResourceExhausted FailedPrecondition Aborted OutOfRange Unimplemented Internal Unavailable "
    "DataLoss Unauthenticated"
).split()
HISTOGRAMS = [
    "grpc_server_handling_seconds",
    "halfstep_queue_seconds",
    "halfstep_compute_seconds",
    "halfstep_wire_seconds",
]
# A name in backquotes that is one of ours.
METRIC = re.compile(r"`((?:halfstep|grpc_server|process)_[a-z_]+)`")


@pytest.fixture
def watched(start_server):
    return start_server(ADMIN)


def tensor(pb, reals):
    reals = np.asarray(reals, dtype="<f4")
    return pb.Tensor(dtype=1, shape=reals.shape, data=reals.tobytes())


def when_over(server, count):
    """A scrape in which `count` calls are over: a call is counted after its answer went out."""
    for _ in range(1000):
        seen = scrape(server)
        if seen.sum("grpc_server_handled_total") >= count:
            break
    assert seen.sum("grpc_server_handled_total") == count
    return seen


def test_all_series_are_there_from_the_start(watched):
    seen = scrape(watched)
    types = {(dict(labels)["grpc_method"], dict(labels)["grpc_type"])
             for name, labels in seen.samples if name == "grpc_server_started_total"}
    assert types == set(METHODS.items())
    assert seen.values("grpc_server_handled_total", "grpc_code") == set(CODES)
    for name in HISTOGRAMS:
        assert seen.types[name] == "histogram"
        assert seen.values(f"{name}_count", "grpc_method") == set(METHODS)
    assert seen.sum("grpc_server_started_total") == seen.sum("grpc_server_handled_total") == 0
    assert seen.sum("halfstep_serving") == 1


def test_calls_are_counted(pb, watched):
    before = set(scrape(watched).samples)
    reals = np.linspace(-1, 1, 1000)
    symmetric = pb.QuantizationSpec(scheme=pb.SCHEME_SYMMETRIC)
    request = pb.QuantizeRequest(spec=symmetric, tensor=tensor(pb, reals))
    sizes = [0, 0]
    for _ in range(3):
        reply = watched.quantization.Quantize(request)
        sizes[0] += request.ByteSize()
        sizes[1] += reply.ByteSize()
    with pytest.raises(grpc.RpcError):
        watched.quantization.Quantize(pb.QuantizeRequest())
    watched.quantization.Dequantize(pb.DequantizeRequest(tensor=reply.tensor))
    pieces = [pb.ObserveRequest(tensor=tensor(pb, reals)) for _ in range(4)]
    watched.calibration.Observe(iter(pieces))
    seen = when_over(watched, 6)

    quantize = {"grpc_service": QUANTIZATION, "grpc_method": "Quantize"}
    assert seen.sum("grpc_server_started_total", **quantize, grpc_type="unary") == 4
    assert seen.sum("grpc_server_handled_total", **quantize, grpc_code="OK") == 3
    assert seen.sum("grpc_server_handled_total", **quantize, grpc_code="InvalidArgument") == 1
    # The one that was refused had an empty message, and no answer.
    assert seen.sum("grpc_server_msg_received_total", **quantize) == 4
    assert seen.sum("grpc_server_msg_sent_total", **quantize) == 3
    assert seen.sum("halfstep_received_bytes_total", **quantize) == sizes[0]
    assert seen.sum("halfstep_sent_bytes_total", **quantize) == sizes[1]
    assert seen.sum("grpc_server_msg_received_total", grpc_method="Observe") == 4
    assert seen.sum("grpc_server_msg_sent_total", grpc_method="Observe") == 1
    for name in HISTOGRAMS:
        assert seen.sum(f"{name}_count", **quantize) == 4
        assert seen.sum(f"{name}_bucket", **quantize, le="+Inf") == 4
    parts = [seen.sum(f"halfstep_{part}_seconds_sum", **quantize) for part in ("queue", "compute", "wire")]
    whole = seen.sum("grpc_server_handling_seconds_sum", **quantize)
    # Sums of the same few microseconds, in another order.
    assert min(parts) > 0 and sum(parts) == pytest.approx(whole, rel=1e-9)
    assert seen.sum("halfstep_elements_total", scheme="symmetric") == 4000
    assert seen.sum("halfstep_elements_total", scheme="asymmetric") == 0
    assert seen.sum("halfstep_elements_total", scheme="none") == 4000
    assert set(seen.samples) == before


def test_time_is_told_apart(pb, start_server):
    """Waiting for the client is the wire's, waiting for others the queue's."""
    running = start_server(ADMIN, "--max-message-bytes=1MiB", "--max-bytes-in-flight=2180KiB")
    held = threading.Event()

    def late():
        held.wait(60)
        yield pb.QuantizeRequest(tensor=tensor(pb, [1])).SerializeToString()

    # Two hold what there is, and the third waits for it.
    call = running.channel.stream_unary(f"/{QUANTIZATION}/Quantize")
    calls = [call.future(late()) for _ in range(3)]
    while (seen := scrape(running)).sum("halfstep_calls_in_flight", phase="admission") != 1:
        pass
    assert seen.sum("halfstep_calls_in_flight", phase="reading") == 2
    assert seen.sum("halfstep_calls_in_flight") == 3
    assert seen.sum("halfstep_bytes_in_flight") <= seen.sum("halfstep_bytes_in_flight_limit") == 2180 << 10
    threading.Event().wait(0.5)
    held.set()
    for answer in calls:
        answer.result(timeout=60)
    seen = when_over(running, 3)
    # Each lasted half a second: two of them for their client, one for those two.
    wire, queue, whole = (
        seen.sum(f"{name}_sum", grpc_method="Quantize")
        for name in ("halfstep_wire_seconds", "halfstep_queue_seconds", "grpc_server_handling_seconds")
    )
    assert wire > 0.9 and queue > 0.4 and whole > 1.4
    # Once more: a page reads what is in flight before it reads what was handled.
    seen = scrape(running)
    assert seen.sum("halfstep_calls_in_flight") == 0 and seen.sum("halfstep_bytes_in_flight") == 0


def test_what_saturates_and_what_is_not_finite(pb, watched):
    parameters = pb.QuantizationParameters(
        spec=pb.QuantizationSpec(
            scheme=pb.SCHEME_ASYMMETRIC, non_finite_policy=pb.NON_FINITE_POLICY_SATURATE
        ),
        scale=[0.01],
        zero_point=[0],
    )
    reals = [0.5, 1e6, -1e6, float("nan"), float("inf")]
    reply = watched.quantization.Quantize(pb.QuantizeRequest(parameters=parameters, tensor=tensor(pb, reals)))
    assert reply.cuts.saturated_count >= 2 and reply.cuts.non_finite_count == 2
    seen = when_over(watched, 1)
    labels = {"scheme": "asymmetric"}
    assert seen.sum("halfstep_elements_total", **labels) == 5
    assert seen.sum("halfstep_saturated_elements_total", **labels) == reply.cuts.saturated_count
    assert seen.sum("halfstep_non_finite_elements_total", **labels) == reply.cuts.non_finite_count
    assert seen.sum("halfstep_saturated_elements_total", scheme="symmetric") == 0


def test_refusals_have_a_reason(pb, start_server):
    running = start_server(
        ADMIN, "--max-message-bytes=1MiB", "--max-bytes-in-flight=2180KiB", "--max-waiting-calls=1",
        "--stall-timeout=2",
    )
    seen = scrape(running)
    reasons = seen.values("halfstep_admissions_refused_total", "reason")
    assert reasons == {
        "max_waiting_calls", "max_queued_calls", "max_bytes_in_flight", "max_streams_per_connection",
        "memory", "limit_exceeded", "shutting_down",
    }
    # As floats its answer is too long, which is known before it is computed.
    codes = running.quantization.Quantize(pb.QuantizeRequest(tensor=tensor(pb, np.zeros(MIB // 8)))).tensor
    codes.shape[:] = [MIB // 2]
    codes.codes = codes.codes * 4
    with pytest.raises(grpc.RpcError) as raised:
        running.quantization.Dequantize(pb.DequantizeRequest(tensor=codes))
    assert raised.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED

    never = threading.Event()

    def nothing():
        never.wait(60)
        yield b""

    call = running.channel.stream_unary(f"/{QUANTIZATION}/Quantize")
    hanging = [call.future(nothing()) for _ in range(4)]
    # Two hold all there is, one waits, one is refused; then those two stall, and
    # the one that waited gets its turn and stalls, too.
    codes = sorted(answer.exception(timeout=60).code().name for answer in hanging)
    never.set()
    assert codes == ["DEADLINE_EXCEEDED"] * 3 + ["RESOURCE_EXHAUSTED"]
    seen = when_over(running, 6)
    assert seen.sum("halfstep_admissions_refused_total", reason="max_waiting_calls") == 1
    assert seen.sum("halfstep_admissions_refused_total", reason="limit_exceeded") == 1
    assert seen.sum("halfstep_admissions_refused_total") == 2
    assert seen.sum("halfstep_stalled_calls_total") == 3


def call_made_up_methods(server, count, batch=100):
    connection = RawConnection(server.address)
    answered = 0
    while answered < count:
        if not connection.is_open:
            connection.socket.close()
            connection = RawConnection(server.address)
        paths = [
            f"/halfstep.v1.QuantizationService/Made{answered + i}".encode() if i % 2
            else f"/made.up.Service{answered + i}/Quantize".encode()
            for i in range(batch)
        ]
        # Whatever else could become a label is made up, too.
        headers = [
            (b"x-request-id", f"made-{answered}".encode()),
            (b"user-agent", f"made-{answered}".encode()),
            (b"traceparent", f"00-{answered + 1:032x}-{answered + 1:016x}-01".encode()),
        ]
        answered += connection.call(paths, headers)
    connection.socket.close()


def test_made_up_methods_are_no_series(pb, start_server):
    # So that what threads keep for later does not hide what stays for good.
    watched = start_server(ADMIN, env={"TCMALLOC_MAX_TOTAL_THREAD_CACHE_BYTES": str(MIB)})
    watched.quantization.Quantize(pb.QuantizeRequest(tensor=tensor(pb, [1])))
    call_made_up_methods(watched, 5_000)
    # Each name kept, with its counter, would be 100 bytes and more, every time; what a
    # busy machine lets pile up stays once.
    for _ in range(3):
        before = when_over(watched, 1)
        call_made_up_methods(watched, 100_000)
        after = scrape(watched)
        assert set(after.samples) == set(before.samples)
        assert after.sum("grpc_server_handled_total") == 1
        resident = [one.sum("process_resident_memory_bytes") for one in (before, after)]
        if resident[1] - resident[0] < 8 * MIB:
            break
    else:
        pytest.fail(f"each 100,000 names took some 8 MiB; at last {resident}")


def test_nothing_that_a_caller_names_is_a_series(pb, watched):
    before = set(scrape(watched).samples)
    for i in range(50):
        watched.quantization.Quantize(
            pb.QuantizeRequest(tensor=tensor(pb, [1])),
            metadata=[("x-request-id", f"id-{i}"), ("traceparent", f"00-{i + 1:032x}-{i + 1:016x}-01"),
                      ("made-up", str(i)), ("authorization", f"Bearer {i}")],
        )
    assert set(when_over(watched, 50).samples) == before


def test_the_page_lists_what_there_is(start_server, tmp_path):
    """docs/metrics.md and the program: each metric of one is in the other, with its labels."""
    Authority().server().write(tmp_path, "server")
    running = start_server(ADMIN, f"--tls-cert={tmp_path}/server.crt", f"--tls-key={tmp_path}/server.key")
    seen = scrape(running)
    page = (ROOT / "docs" / "metrics.md").read_text()
    rows = {}
    previous = set()
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) >= 3 and (name := METRIC.fullmatch(cells[0])):
            assert name.group(1) not in rows, line
            labels = set(re.findall(r"`(\w+)`", cells[2]))
            if cells[2].startswith("the same"):
                labels |= previous
            rows[name.group(1)] = (cells[1], labels)
            previous = labels
    assert {name: kind for name, (kind, _) in rows.items()} == seen.types
    for name, (kind, labels) in rows.items():
        sample = f"{name}_sum" if kind == "histogram" else name
        of_samples = {
            frozenset(label for label, _ in its_labels)
            for its_name, its_labels in seen.samples if its_name == sample
        }
        assert of_samples == {frozenset(labels)}, name
    mentioned = {
        re.sub(r"_(bucket|sum|count)$", "", name)
        for name in re.findall(r"\b(?:halfstep|grpc_server|process)_[a-z_]+\b", page)
    }
    assert mentioned <= set(seen.types)
    # The certificate is a day's or more, and less than for ever.
    left = seen.sum("halfstep_certificate_expiry_timestamp_seconds") - seen.sum("process_start_time_seconds")
    assert 3600 < left < 50 * 365 * 86400


def test_the_dashboard_asks_for_what_there_is(watched):
    board = json.loads((ROOT / "docker" / "grafana" / "halfstep.json").read_text())
    seen = scrape(watched)
    known = set(seen.types) | {"halfstep_certificate_expiry_timestamp_seconds"}
    labels = {label for _, its_labels in seen.samples for label, _ in its_labels} | {"job", "instance"}
    asked = set()
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"]
            for name in re.findall(r"\b(?:halfstep|grpc_server|process)_[a-z_]+\b", expression):
                asked.add(re.sub(r"_(bucket|sum|count)$", "", name) if name not in known else name)
            for label in re.findall(r'(\w+)\s*(?:=~|!=|!~|=)\s*"', expression):
                assert label in labels, expression
            for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
                assert label in labels, target
    assert asked <= known, asked - known
    # Virtual memory says nothing on a machine of 64 bits.
    assert known - asked == {"process_virtual_memory_bytes"}
    identifiers = [panel["id"] for panel in board["panels"]]
    assert len(identifiers) == len(set(identifiers))


def test_the_certificate_that_is_used(start_server, tmp_path):
    def expiry(pair):
        return pair.certificate.not_valid_after.replace(tzinfo=datetime.timezone.utc).timestamp()

    def shown():
        return scrape(running).sum("halfstep_certificate_expiry_timestamp_seconds")

    authority = Authority()
    old, new, other = (authority.server(days=(-1, days)) for days in (40, 50, 60))
    old.write(tmp_path, "server")
    running = start_server(
        ADMIN, f"--tls-cert={tmp_path}/server.crt", f"--tls-key={tmp_path}/server.key", "--reload-interval=inf"
    )
    assert shown() == expiry(old)
    new.write(tmp_path, "server")
    running.process.send_signal(signal.SIGHUP)
    end = time.monotonic() + 30
    while shown() != expiry(new):
        assert time.monotonic() < end
    # One that does not fit its key is not used, and not shown.
    (tmp_path / "server.crt").write_bytes(other.certificate_pem)
    running.process.send_signal(signal.SIGHUP)
    running.await_log(" error .*server")
    assert shown() == expiry(new)

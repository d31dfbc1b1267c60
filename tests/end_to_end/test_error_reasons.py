"""docs/errors.md against the code, and each reason as a client sees it."""
import os
import pathlib
import re
import threading
import time

import grpc
import pytest

from server_process import ServerProcess, load_stubs
from test_errors import details

ROOT = pathlib.Path(os.environ.get("HALFSTEP_ROOT", pathlib.Path(__file__).resolve().parents[2]))
PAGE = (ROOT / "docs" / "errors.md").read_text()
SOURCE = (ROOT / "server" / "wire" / "grpc_status.cc").read_text()
QUANTIZE = "/halfstep.v1.QuantizationService/Quantize"
# Seen in the log, or not to be had from outside: the page says so.
NOT_PROVOKED = {"CANCELLED", "DEADLINE_EXCEEDED", "PRECONDITION", "NOT_SERVED", "INTERNAL"}
PROVOKED = set()


def documented():
    """{reason: (code, advice)} of the page's table."""
    rows = re.findall(r"^\| `([A-Z_]+)` \| ([A-Z_]+) \| (.+) \|$", PAGE, re.MULTILINE)
    assert len(rows) == len({reason for reason, _, _ in rows})
    return {reason: (code, advice) for reason, code, advice in rows}


def test_the_page_lists_what_the_code_has_and_nothing_else():
    function = SOURCE[SOURCE.index("absl::string_view ErrorReason("):]
    function = function[:function.index("\n}\n")]
    assert set(re.findall(r'"([A-Z_]+)"', function)) == set(documented())


def test_each_reason_has_a_section():
    assert re.findall(r"^## `([A-Z_]+)`$", PAGE, re.MULTILINE) == list(documented())


def check(error, reason):
    """`error` is as the page says of `reason`, with a pushback that fits."""
    found = details(error)
    assert found["ErrorInfo"].reason == reason, error
    assert found["ErrorInfo"].domain == "halfstep"
    code, advice = documented()[reason]
    assert error.code().name == code
    assert ("RetryInfo" in found) == ("RetryInfo" in advice)
    pushback = dict(error.trailing_metadata()).get("grpc-retry-pushback-ms")
    if "RetryInfo" in found:
        delay = found["RetryInfo"].retry_delay
        assert int(pushback) == delay.seconds * 1000 + delay.nanos // 1_000_000 > 0
    elif advice.startswith("no"):
        assert pushback == "-1"
    else:
        assert pushback is None
    PROVOKED.add(reason)
    return found


def error_of(call, *arguments, **keywords):
    with pytest.raises(grpc.RpcError) as raised:
        call(*arguments, **keywords)
    return raised.value


def test_invalid_field(pb, quantization):
    error = error_of(quantization.Quantize, pb.QuantizeRequest(tensor=pb.Tensor(dtype=1, data=b"abc")))
    (violation,) = check(error, "INVALID_FIELD")["BadRequest"].field_violations
    assert violation.field == "tensor.data"


def test_malformed_message(channel):
    check(error_of(channel.unary_unary(QUANTIZE), b"\xff"), "MALFORMED_MESSAGE")


def test_limit_exceeded(pb, quantization):
    values = pb.Tensor(shape=[70_000], values=[0.0] * 70_000)
    found = check(error_of(quantization.Quantize, pb.QuantizeRequest(tensor=values)), "LIMIT_EXCEEDED")
    assert found["QuotaFailure"].violations


def hang(channel):
    """A call whose message does not come, and what ends it."""
    over = threading.Event()

    def messages():
        over.wait(60)
        yield b""

    return channel.stream_unary(QUANTIZE).future(messages()), over


def test_server_busy(pb, start_server):
    # Two places, and nobody may wait.
    running = start_server(
        "--max-message-bytes=1MiB", "--max-bytes-in-flight=2304KiB", "--max-waiting-calls=0")
    hanging = [hang(channel) for channel in (running.new_channel(), running.new_channel(), running.new_channel())]
    request = pb.QuantizeRequest(tensor=pb.Tensor(shape=[1], values=[1.0]))
    for _ in range(200):
        try:
            running.quantization.Quantize(request, timeout=10)
        except grpc.RpcError as error:
            found = check(error, "SERVER_BUSY")
            assert found["QuotaFailure"].violations
            break
    else:
        raise AssertionError("it was never busy")
    for _, over in hanging:
        over.set()


def test_stalled(start_server):
    running = start_server("--stall-timeout=500ms")
    begin = time.monotonic()
    call, over = hang(running.channel)
    error = call.exception(timeout=30)
    # Ended from outside, so without details, as the page says.
    assert error.code().name == documented()["STALLED"][0]
    assert "0.5" in error.details() or "500ms" in error.details()
    assert time.monotonic() < begin + 20
    PROVOKED.add("STALLED")
    over.set()


def test_shutting_down(pb):
    running = ServerProcess("--drain-timeout=20s")
    call, over = hang(running.channel)
    running.quantization.GetServerInfo(pb.GetServerInfoRequest())
    running.process.terminate()
    while True:
        try:
            running.quantization.GetServerInfo(pb.GetServerInfoRequest(), timeout=10)
        except grpc.RpcError as error:
            check(error, "SHUTTING_DOWN")
            break
    over.set()
    assert call.exception(timeout=30).code() == grpc.StatusCode.INVALID_ARGUMENT  # it did not hang on
    assert running.process.wait(timeout=30) == 0


def test_tokens(pb, start_server, tmp_path):
    table = tmp_path / "tokens"
    table.write_text("reader QuantizationService/GetServerInfo only-reads-0123456789abcdef\n")
    table.chmod(0o600)
    running = start_server(f"--token-file={table}")
    request = pb.QuantizeRequest()
    check(error_of(running.quantization.Quantize, request), "UNAUTHENTICATED")
    token = [("authorization", "Bearer only-reads-0123456789abcdef")]
    check(error_of(running.quantization.Quantize, request, metadata=token), "PERMISSION_DENIED")


def test_cancelled_and_expired_calls_are_logged_so(start_server):
    running = start_server()
    call, over = hang(running.channel)
    expired = running.channel.stream_unary(QUANTIZE).future(iter_never(over), timeout=0.3)
    assert expired.exception(timeout=30).code() == grpc.StatusCode.DEADLINE_EXCEEDED
    call.cancel()
    over.set()
    load_stubs()
    assert running.stop() == 0
    text = running.stderr()
    assert text.count("status=CANCELLED") + text.count("status=DEADLINE_EXCEEDED") == 2, text


def iter_never(over):
    over.wait(60)
    yield b""


def test_every_reason_was_provoked_or_is_known_not_to_be():
    """Last: runs behind those above."""
    assert PROVOKED | NOT_PROVOKED == set(documented())

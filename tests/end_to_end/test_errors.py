"""Refusals that are not about numbers: messages, limits and what is not served.

test_numerics_refusals.py has those that name a field of a spec or a tensor.
"""
import grpc
import pytest

from server_process import ServerProcess, load_stubs, refusal

load_stubs()  # google.rpc comes with them
from google.rpc import error_details_pb2, status_pb2  # noqa: E402

QUANTIZATION = "/halfstep.v1.QuantizationService/"
INVALID = grpc.StatusCode.INVALID_ARGUMENT
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
UNARY = ["Quantize", "Dequantize", "FakeQuantize", "MeasureError", "GetServerInfo"]
MIB = 1 << 20


def details(error):
    """The google.rpc details of a grpc.RpcError, by the name of their type."""
    metadata = dict(error.trailing_metadata())
    status = status_pb2.Status.FromString(metadata["grpc-status-details-bin"])
    assert status.code == error.code().value[0]
    assert status.message == error.details()
    found = {}
    for packed in status.details:
        name = packed.TypeName().rsplit(".", 1)[1]
        message = getattr(error_details_pb2, name)()
        assert packed.Unpack(message)
        assert name not in found
        found[name] = message
    return found


def error_of(call, *arguments):
    with pytest.raises(grpc.RpcError) as raised:
        call(*arguments)
    return raised.value


def reason(error):
    info = details(error)["ErrorInfo"]
    assert info.domain == "halfstep"
    return info.reason


@pytest.mark.parametrize("method", UNARY)
@pytest.mark.parametrize(
    "message",
    [b"\x00", b"\xff", b"\x22\x7f", b"\x98\x3e", b"\x0b", b"\x0c"],
    ids=["tag 0", "half a tag", "length past the end", "half a field", "open group", "end of no group"],
)
def test_a_message_that_cannot_be_parsed(channel, method, message):
    error = error_of(channel.unary_unary(QUANTIZATION + method), message)
    assert error.code() == INVALID, error
    assert error.details().startswith("request: cannot be parsed; must be")
    assert reason(error) == "MALFORMED_MESSAGE"
    assert "RetryInfo" not in details(error)


def test_a_call_without_a_message(channel):
    error = error_of(channel.stream_unary(QUANTIZATION + "Quantize"), iter([]))
    assert error.code() == INVALID
    assert error.details().startswith("request: no message; must be")


def test_a_field_at_fault_is_named_once_in_the_details(pb, quantization):
    error = error_of(quantization.Quantize, pb.QuantizeRequest(tensor=pb.Tensor(dtype=1, data=bytes(3))))
    assert reason(error) == "INVALID_FIELD"
    (violation,) = details(error)["BadRequest"].field_violations
    assert violation.field == "tensor.data"
    assert error.details() == f"{violation.field}: {violation.description}"


def test_a_value_past_the_range_of_its_dtype(pb, quantization):
    for dtype, value in (("FLOAT32", 1e39), ("FLOAT16", -65505.0), ("BFLOAT16", 3.4e38)):
        tensor = pb.Tensor(dtype=f"DATA_TYPE_{dtype}", shape=[2], values=[0.0, value])
        refused = refusal(quantization.Quantize, pb.QuantizeRequest(tensor=tensor))
        assert refused.code == INVALID
        assert refused.fields == ["tensor.values[1]"]


@pytest.fixture(scope="module")
def small_server():
    running = ServerProcess("--max-message-bytes=1MiB", "--threads=1")
    yield running
    assert running.stop() == 0


def test_a_request_over_the_limit(pb, small_server):
    limit = small_server.quantization.GetServerInfo(pb.GetServerInfoRequest()).max_message_bytes
    assert limit == MIB
    just = pb.Tensor(dtype=1, shape=[MIB // 4], data=bytes(MIB))
    assert len(small_server.quantization.Quantize(pb.QuantizeRequest(tensor=just)).tensor.codes) == MIB // 4
    over = pb.Tensor(dtype=1, shape=[MIB], data=bytes(4 * MIB))
    error = error_of(small_server.quantization.Quantize, pb.QuantizeRequest(tensor=over))
    assert error.code() == EXHAUSTED


def test_a_reply_over_the_limit(pb, small_server):
    # 2^20 codes of one bit are 128 KiB; their reals would be 4 MiB.
    codes = pb.QuantizedTensor(dtype=1, shape=[MIB], codes=bytes(MIB // 8))
    codes.parameters.spec.bits = 1
    codes.parameters.spec.packing = pb.PACKING_DENSE
    codes.parameters.scale.append(1)
    codes.parameters.zero_point.append(0)
    error = error_of(small_server.quantization.Dequantize, pb.DequantizeRequest(tensor=codes))
    assert error.code() == EXHAUSTED
    assert reason(error) == "LIMIT_EXCEEDED"
    assert "RetryInfo" not in details(error)


def test_a_method_that_the_api_does_not_have(channel):
    error = error_of(channel.unary_unary(QUANTIZATION + "Frobnicate"), b"")
    assert error.code() == grpc.StatusCode.UNIMPLEMENTED

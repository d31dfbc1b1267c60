"""Messages whose fields take far more memory than they have bytes.

What is not payload is parsed: a byte becomes 8, two bytes an object. The bound on bytes
in flight holds that, too, before anything is parsed.
"""

import re

import grpc
import pytest

from observed import Observed, start

MIB = 1 << 20
SIZE = 8 * MIB
# What the allocator and gRPC keep beside what is counted.
BESIDE_MIB = 24

QUANTIZE = "QuantizationService/Quantize"
MERGE = "CalibrationService/Merge"


def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number, content):
    """A length-delimited field: a submessage, or an array of numbers."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def group(number, content=b""):
    return varint(number << 3 | 3) + content + varint(number << 3 | 4)


def filled(piece):
    return piece * (SIZE // len(piece))


ONES = bytes([1]) * SIZE

# (method, what it is, the message)
MESSAGES = [
    (QUANTIZE, "zero points of a byte", field(2, field(3, ONES))),
    (QUANTIZE, "zero points, each a field", field(2, filled(b"\x18\x01"))),
    (QUANTIZE, "dimensions", field(4, field(2, ONES))),
    (QUANTIZE, "dimensions, each a field", field(4, filled(b"\x10\x01"))),
    (QUANTIZE, "tensors without anything", filled(field(4, b""))),
    (QUANTIZE, "unknown numbers", filled(b"\x78\x01")),
    (QUANTIZE, "unknown bytes", filled(field(15, b""))),
    (QUANTIZE, "unknown groups", filled(group(15))),
    (QUANTIZE, "unknown numbers in the tensor", field(4, filled(b"\x78\x01"))),
    ("QuantizationService/Dequantize", "codes as numbers", field(2, field(4, ONES))),
    ("QuantizationService/MeasureError", "codes as numbers", field(3, field(4, ONES))),
    ("QuantizationService/GetServerInfo", "unknown bytes", filled(field(15, b""))),
    ("QuantizationService/QuantizeStream", "zero points of a header",
     field(1, field(2, field(3, ONES)))),
    ("QuantizationService/DequantizeStream", "zero points of a piece", field(2, field(2, ONES))),
    (MERGE, "states without anything", filled(field(1, b""))),
    (MERGE, "summaries without anything", field(1, filled(field(2, b"")))),
    (MERGE, "buckets", field(1, field(2, field(5, ONES[SIZE // 2:]) + field(6, ONES[SIZE // 2:])))),
    ("CalibrationService/ComputeParameters", "summaries without anything",
     field(1, filled(field(2, b"")))),
    ("CalibrationService/Observe", "summaries without anything",
     field(1, filled(field(2, b"")))),
]


def ask(address, method, message):
    """The status of a call with the serialized `message`."""
    with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        call = channel.stream_unary(f"/halfstep.v1.{method}")
        try:
            call(iter([message]), timeout=60)
        except grpc.RpcError as refused:
            return refused.code(), refused.details()
    return grpc.StatusCode.OK, ""


@pytest.mark.parametrize("method, message", [pytest.param(method, message, id=f"{method} {what}")
                                             for method, what, message in MESSAGES])
def test_memory_stays_within_the_bound(method, message):
    # A server without room says how much it wants; one that has it takes no more than that.
    budget = 20 * MIB
    for _ in range(4):
        server = start("--max-message-bytes=9MiB", f"--max-bytes-in-flight={budget}")
        with Observed(server) as observed:
            code, details = ask(server.address, method, message)
        observed.check(f"{budget / MIB:.0f} MiB in flight: {code.name} {details}", cpu_max=5,
                       ceiling_mib=budget / MIB + BESIDE_MIB)
        assert server.stop() == 0
        assert code != grpc.StatusCode.INTERNAL
        wanted = re.fullmatch(r"request: (\d+) bytes in memory.*max_bytes_in_flight, \d+", details)
        if wanted is None:
            break
        # And room for the call beside it.
        budget = int(wanted.group(1)) + 20 * MIB
    assert budget > 60 * MIB and "max_bytes_in_flight" not in details

"""QuantizeStream and DequantizeStream: what the pieces add up to, and what bad
streams get."""
import queue
import threading
import time

import grpc
import numpy as np
import pytest

import large_streams
from process_usage import resident_bytes
from server_process import Refusal

SHAPE = [300, 1000]


@pytest.fixture(scope="module")
def reals():
    return np.random.default_rng(5).normal(size=SHAPE).astype("<f4")


def quantize_requests(pb, header, data, cuts):
    yield pb.QuantizeStreamRequest(header=header)
    for begin, end in zip([0, *cuts], [*cuts, len(data)]):
        yield pb.QuantizeStreamRequest(data=data[begin:end])


def random_cuts(size, seed):
    generator = np.random.default_rng(seed)
    return sorted(int(cut) for cut in generator.integers(0, size + 1, size=20))


def added_up(responses):
    """Parameters, codes and summary of a QuantizeStream's responses."""
    parameters, codes, summary = None, b"", None
    for index, response in enumerate(responses):
        part = response.WhichOneof("part")
        assert (part == "parameters") == (index == 0)
        assert summary is None, "the summary comes last"
        if part == "parameters":
            parameters = response.parameters
        elif part == "parameter_piece":
            parameters.scale.extend(response.parameter_piece.scale)
            parameters.zero_point.extend(response.parameter_piece.zero_point)
        elif part == "codes":
            codes += response.codes
        else:
            summary = response.summary
    return parameters, codes, summary


GRANULARITIES = [
    {},
    {"axis": 0},
    {"axis": -1},
    {"group": {"axis": 1, "size": 32}},
    {"group": {"axis": 0, "size": 16}},
]


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("spec", [{}, {"bits": 3, "packing": 2}, {"scheme": 2}])
def test_pieces_add_up_to_the_unary_reply(pb, quantization, reals, granularity, spec):
    spec = pb.QuantizationSpec(granularity=granularity, **spec)
    data = reals.tobytes()
    tensor = {"dtype": pb.DATA_TYPE_FLOAT32, "shape": SHAPE, "data": data}
    unary = quantization.Quantize(
        pb.QuantizeRequest(spec=spec, measure_error=True, tensor=tensor)
    )
    for how in ({"spec": spec}, {"parameters": unary.tensor.parameters}):
        header = pb.QuantizeStreamHeader(
            dtype=pb.DATA_TYPE_FLOAT32, shape=SHAPE, measure_error=True, **how
        )
        for seed in range(3):
            requests = quantize_requests(pb, header, data, random_cuts(len(data), seed))
            parameters, codes, summary = added_up(quantization.QuantizeStream(requests))
            assert parameters == unary.tensor.parameters
            assert codes == unary.tensor.codes
            assert summary.error == unary.error
            assert summary.cuts == unary.cuts
            assert summary.element_count == reals.size
    back = quantization.Dequantize(pb.DequantizeRequest(tensor=unary.tensor)).tensor.data

    def codes_in_pieces():
        yield pb.DequantizeStreamRequest(
            header={
                "parameters": unary.tensor.parameters,
                "dtype": pb.DATA_TYPE_FLOAT32,
                "shape": SHAPE,
            }
        )
        cuts = random_cuts(len(unary.tensor.codes), 9)
        for begin, end in zip([0, *cuts], [*cuts, len(unary.tensor.codes)]):
            yield pb.DequantizeStreamRequest(codes=unary.tensor.codes[begin:end])

    responses = list(quantization.DequantizeStream(codes_in_pieces()))
    assert b"".join(response.data for response in responses) == back
    assert responses[-1].summary.element_count == reals.size


def test_empty_tensors_have_parameters_too(pb, quantization):
    spec = pb.QuantizationSpec(granularity={"axis": 0})
    header = pb.QuantizeStreamHeader(dtype=1, shape=[3, 0], spec=spec)
    parameters, codes, summary = added_up(
        quantization.QuantizeStream(iter([pb.QuantizeStreamRequest(header=header)]))
    )
    empty = pb.Tensor(dtype=1, shape=[3, 0])
    unary = quantization.Quantize(pb.QuantizeRequest(spec=spec, tensor=empty))
    assert parameters == unary.tensor.parameters
    assert (codes, summary.element_count) == (b"", 0)


@pytest.mark.parametrize("granularity", [{"group": {"axis": 1, "size": 128}}, {"axis": 0}])
def test_codes_flow_back_while_data_still_comes(pb, quantization, reals, granularity):
    """Half of the data is sent, and codes of nearly half must come."""
    sent = queue.Queue()
    data = reals.tobytes()
    header = pb.QuantizeStreamHeader(
        dtype=1, shape=SHAPE, spec=pb.QuantizationSpec(granularity=granularity)
    )
    sent.put(pb.QuantizeStreamRequest(header=header))
    half = len(data) // 2 + 1
    sent.put(pb.QuantizeStreamRequest(data=data[:half]))
    responses = quantization.QuantizeStream(iter(sent.get, None), timeout=60)
    count = 0
    while count < half // 4 - 65536 - 1000:
        count += len(next(responses).codes)
    sent.put(pb.QuantizeStreamRequest(data=data[half:]))
    sent.put(None)
    count += sum(len(response.codes) for response in responses)
    assert count == reals.size


# --- What bad streams get.


def static(pb, scales=1):
    return pb.QuantizationParameters(
        spec=pb.QuantizationSpec(granularity={"group": {"axis": 0, "size": 5}}),
        scale=[1] * scales,
        zero_point=[0] * scales,
    )


def header(pb, scales=1, **how):
    how = how or {"parameters": static(pb, scales)}
    return pb.QuantizeStreamRequest(header=pb.QuantizeStreamHeader(dtype=1, shape=[10], **how))


def data(pb, size):
    return pb.QuantizeStreamRequest(data=b"\0" * size)


def pairs(pb, count, scale=1.0):
    return pb.QuantizeStreamRequest(
        parameter_piece={"scale": [scale] * count, "zero_point": [0] * count}
    )


BAD_STREAMS = {
    "begins with data": (lambda pb: [data(pb, 4)], "header"),
    "begins with pairs": (lambda pb: [pairs(pb, 1)], "header"),
    "is empty": (lambda pb: [], "header"),
    "two headers": (lambda pb: [header(pb), header(pb)], "header"),
    "an empty message": (lambda pb: [header(pb), pb.QuantizeStreamRequest()], "part"),
    "more data": (lambda pb: [header(pb, 2), data(pb, 40), data(pb, 1)], "data"),
    "less data": (lambda pb: [header(pb, 2), data(pb, 39)], "data"),
    "stops": (lambda pb: [header(pb, 2)], "data"),
    "more pairs": (lambda pb: [header(pb), pairs(pb, 2)], "parameter_piece.scale"),
    "more pairs in the header": (lambda pb: [header(pb, 3)], "header.parameters.scale"),
    "data before its pair": (lambda pb: [header(pb), data(pb, 24)], "data"),
    "fewer pairs": (lambda pb: [header(pb), data(pb, 20)], "data"),
    "a bad pair": (lambda pb: [header(pb), pairs(pb, 1, -1.0)], "parameter_piece.scale[0]"),
    "pairs where a spec is": (
        lambda pb: [header(pb, spec=pb.QuantizationSpec()), pairs(pb, 1)],
        "parameter_piece.scale",
    ),
    "no dtype": (
        lambda pb: [pb.QuantizeStreamRequest(header=pb.QuantizeStreamHeader(shape=[10]))],
        "header.dtype",
    ),
    "a bad spec": (
        lambda pb: [header(pb, spec=pb.QuantizationSpec(bits=40))],
        "header.spec.bits",
    ),
    "a bad shape": (
        lambda pb: [
            pb.QuantizeStreamRequest(header=pb.QuantizeStreamHeader(dtype=1, shape=[-1]))
        ],
        "header.shape",
    ),
}


def refused(responses):
    """The Refusal that ends a stream."""
    try:
        for _ in responses:
            pass
    except grpc.RpcError as error:
        return Refusal(error)
    raise AssertionError("the stream was not refused")


@pytest.mark.parametrize("name", BAD_STREAMS)
def test_bad_streams_name_their_fault(pb, quantization, name):
    messages, field = BAD_STREAMS[name]
    refusal = refused(quantization.QuantizeStream(iter(messages(pb))))
    assert refusal.code == grpc.StatusCode.INVALID_ARGUMENT, refusal.message
    assert refusal.fields == [field], refusal.message
    assert not refusal.has_retry_info
    # And the server is ready for the next.
    good = [header(pb, 2), data(pb, 40)]
    _, codes, _ = added_up(quantization.QuantizeStream(iter(good)))
    assert codes == b"\0" * 10


@pytest.mark.parametrize(
    "method", ["QuantizationService/QuantizeStream", "QuantizationService/DequantizeStream",
               "CalibrationService/Observe"]
)
@pytest.mark.parametrize("before", [0, 3])
def test_a_message_that_cannot_be_parsed(pb, channel, method, before):
    call = channel.stream_stream(f"/halfstep.v1.{method}")
    if method.endswith("/QuantizeStream"):
        good = [header(pb, 2), data(pb, 8), data(pb, 8)]
    elif method.endswith("Observe"):
        good = [pb.ObserveRequest(tensor={"dtype": 2, "shape": [1], "values": [1.5]})] * 3
    else:
        tensor = {"parameters": static(pb, 2), "dtype": 1, "shape": [10]}
        good = [pb.DequantizeStreamRequest(header=tensor),
                pb.DequantizeStreamRequest(codes=b"1"), pb.DequantizeStreamRequest(codes=b"1")]
    messages = [message.SerializeToString() for message in good[:before]]
    # Field 1, 100 bytes long, of which there is none.
    refusal = refused(call(iter([*messages, b"\x0a\x64"])))
    assert refusal.code == grpc.StatusCode.INVALID_ARGUMENT
    assert "cannot be parsed" in refusal.message


def test_non_finite_reals_are_named_by_their_index(pb, quantization):
    reals = np.ones(200_000, "<f4")
    reals[170_001] = np.nan
    stream_header = pb.QuantizeStreamHeader(
        dtype=1, shape=[200_000], spec=pb.QuantizationSpec(granularity={"group": {"size": 10}})
    )
    requests = quantize_requests(pb, stream_header, reals.tobytes(), [300_001])
    refusal = refused(quantization.QuantizeStream(requests))
    assert refusal.code == grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.fields == ["data"]
    assert "index 170001" in refusal.message


def test_bad_codes_are_refused(pb, quantization):
    parameters = pb.QuantizationParameters(
        spec=pb.QuantizationSpec(bits=4), scale=[1], zero_point=[0]
    )
    requests = [
        pb.DequantizeStreamRequest(header={"parameters": parameters, "dtype": 1, "shape": [4]}),
        pb.DequantizeStreamRequest(codes=b"\x00\x0f\x10\x00"),
    ]
    refusal = refused(quantization.DequantizeStream(iter(requests)))
    assert refusal.code == grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.fields == ["codes"]
    assert "index 2" in refusal.message


def test_what_must_be_held_back_has_a_limit(pb, start_server, reals):
    server = start_server("--max-message-bytes=1048576", "--max-buffered-bytes=1048576")
    too_large = pb.QuantizeStreamHeader(dtype=1, shape=SHAPE, spec=pb.QuantizationSpec())
    refusal = refused(
        server.quantization.QuantizeStream(iter([pb.QuantizeStreamRequest(header=too_large)]))
    )
    assert refusal.code == grpc.StatusCode.FAILED_PRECONDITION
    assert "Observe" in refusal.message and "max_buffered_bytes" in refusal.message
    # As it says: observe first.
    flat = reals.reshape(-1)
    state = server.calibration.Observe(
        pb.ObserveRequest(tensor={"dtype": 1, "shape": [len(part)], "data": part.tobytes()})
        for part in np.array_split(flat, 10)
    ).state
    parameters = server.calibration.ComputeParameters(
        pb.ComputeParametersRequest(state=state, spec=pb.QuantizationSpec())
    ).parameters
    stream_header = pb.QuantizeStreamHeader(dtype=1, shape=SHAPE, parameters=parameters)
    cuts = range(100_000, reals.nbytes, 100_000)
    requests = quantize_requests(pb, stream_header, reals.tobytes(), cuts)
    parameters, codes, _ = added_up(server.quantization.QuantizeStream(requests))
    lowest = np.float32(min(flat.min(), 0))
    scale = (np.float32(max(flat.max(), 0)) - lowest) / np.float32(255)
    assert parameters.scale[0] == scale
    zero_point = np.rint(-lowest / scale)
    expected = np.clip(np.rint(flat / scale) + zero_point, 0, 255).astype(np.uint8)
    assert codes == expected.tobytes()


def test_a_client_that_does_not_read_stops_the_server_reading(pb, start_server):
    """Sends without reading: the server takes a few MiB, and no more."""
    server = start_server()
    piece = b"\0" * (1 << 20)
    taken = 0
    stop = threading.Event()

    def requests():
        nonlocal taken
        yield pb.QuantizeStreamRequest(
            header=pb.QuantizeStreamHeader(
                dtype=1,
                shape=[1 << 30],
                parameters=pb.QuantizationParameters(scale=[1], zero_point=[0]),
            )
        )
        while not stop.is_set():
            yield pb.QuantizeStreamRequest(data=piece)
            taken += 1

    # No more than gRPC's smallest window is read ahead by the client's library.
    channel = grpc.insecure_channel(
        server.address,
        options=[("grpc.http2.lookahead_bytes", 65536), ("grpc.http2.bdp_probe", 0)],
    )
    call = channel.stream_stream(
        "/halfstep.v1.QuantizationService/QuantizeStream",
        request_serializer=pb.QuantizeStreamRequest.SerializeToString,
    )
    before = resident_bytes(server.process.pid)
    responses = call(requests())
    deadline = time.monotonic() + 30
    last = -1
    while taken != last and time.monotonic() < deadline:
        last = taken
        time.sleep(1)
    stalled = taken
    grown = resident_bytes(server.process.pid) - before
    # Reading goes on as soon as the client reads.
    for _ in range(200):
        next(responses)
    deadline = time.monotonic() + 30
    while taken <= stalled + 10 and time.monotonic() < deadline:
        time.sleep(0.05)
    went_on = taken
    stop.set()
    responses.cancel()
    channel.close()
    assert stalled < 200, "the server went on reading"
    assert grown < 64 << 20
    assert went_on > stalled + 10


def test_a_stream_that_is_cancelled_leaves_nothing(pb, start_server):
    server = start_server()
    for _ in range(20):
        held = threading.Event()

        def requests():
            yield pb.QuantizeStreamRequest(
                header=pb.QuantizeStreamHeader(dtype=1, shape=[1 << 24], spec=pb.QuantizationSpec())
            )
            yield pb.QuantizeStreamRequest(data=b"\0" * (8 << 20))
            held.wait(30)

        responses = server.quantization.QuantizeStream(requests())
        next(responses)
        responses.cancel()
        held.set()
    # Tickets are given back: with one left over, stopping would take its time.
    begin = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - begin < 5


def test_a_large_tensor_leaves_the_server_small():
    """256 MiB of what large_streams.py does with 4 GiB."""
    for name, growth in large_streams.run(256, report=lambda line: None):
        assert growth <= large_streams.GROWTH_MAX_MIB, name

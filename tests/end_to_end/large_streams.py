#!/usr/bin/env python3
"""Tensors of any size through the streams, on a server that hardly grows.

    tests/end_to_end/large_streams.py [--mib 4096]

Sends `mib` MiB of float32 through QuantizeStream (static, and dynamic in groups
of 32 and 128) and the codes back through DequantizeStream, and observes as much.
The reals are made as they are sent, and every reply is checked as it comes. The
server's resident memory is read throughout: it must grow by at most 64 MiB.
"""
import argparse
import sys
import threading
import time

import numpy as np

from process_usage import resident_bytes
from server_process import ServerProcess, load_stubs

GROWTH_MAX_MIB = 64
PIECE_ELEMENTS = 1 << 18  # 1 MiB of float32
ROW_ELEMENTS = 4096
# Different pieces, over and over: made once, so that the client keeps up.
DISTINCT_PIECES = 7


class Memory:
    """The resident memory of a process, sampled until stop()."""

    def __init__(self, pid):
        self._pid = pid
        self.start = self.peak = self._read()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _read(self):
        return resident_bytes(self._pid) / (1 << 20)

    def _sample(self):
        while not self._stop.wait(0.02):
            self.peak = max(self.peak, self._read())

    def stop(self):
        """MiB that the process grew by at most."""
        self._stop.set()
        self._thread.join()
        return self.peak - self.start


class Reals:
    """`count` pieces of reals, of which a few repeat."""

    def __init__(self, count):
        generator = np.random.default_rng(2024)
        self.count = count
        self.shape = [count * PIECE_ELEMENTS // ROW_ELEMENTS, ROW_ELEMENTS]
        self._pieces = [
            generator.normal(size=PIECE_ELEMENTS).astype("<f4") for _ in range(DISTINCT_PIECES)
        ]
        self._bytes = [piece.tobytes() for piece in self._pieces]

    def piece(self, index):
        return self._pieces[index % DISTINCT_PIECES]

    def bytes(self, index):
        return self._bytes[index % DISTINCT_PIECES]


def expected(stub, pb, reals, how):
    """The unary replies for each distinct piece, which is whole rows."""
    replies = []
    for index in range(DISTINCT_PIECES):
        request = pb.QuantizeRequest()
        request.tensor.dtype = pb.DATA_TYPE_FLOAT32
        request.tensor.shape.extend([PIECE_ELEMENTS // ROW_ELEMENTS, ROW_ELEMENTS])
        request.tensor.data = reals.bytes(index)
        if isinstance(how, pb.QuantizationSpec):
            request.spec.CopyFrom(how)
        else:
            request.parameters.CopyFrom(how)
        replies.append(stub.Quantize(request).tensor)
    return replies


class Checker:
    """Compares bytes as they come with those of pieces that repeat."""

    def __init__(self, pieces):
        self._pieces = pieces
        self._index = 0
        self._rest = memoryview(pieces[0])

    def add(self, data):
        data = memoryview(data)
        while data:
            size = min(len(data), len(self._rest))
            assert data[:size] == self._rest[:size], f"piece {self._index} differs"
            data, self._rest = data[size:], self._rest[size:]
            if not self._rest:
                self._index += 1
                self._rest = memoryview(self._pieces[self._index % len(self._pieces)])

    @property
    def pieces(self):
        assert len(self._rest) == len(self._pieces[self._index % len(self._pieces)])
        return self._index


def quantize(server, pb, reals, how):
    """Sends all reals; returns the expected replies and the reply's parameters."""
    unary = expected(server.quantization, pb, reals, how)

    def requests():
        header = pb.QuantizeStreamHeader(dtype=pb.DATA_TYPE_FLOAT32, shape=reals.shape)
        if isinstance(how, pb.QuantizationSpec):
            header.spec.CopyFrom(how)
        else:
            header.parameters.CopyFrom(how)
        yield pb.QuantizeStreamRequest(header=header)
        for index in range(reals.count):
            yield pb.QuantizeStreamRequest(data=reals.bytes(index))

    codes = Checker([tensor.codes for tensor in unary])
    is_dynamic = isinstance(how, pb.QuantizationSpec)
    scales = Checker([np.array(t.parameters.scale).tobytes() for t in unary])
    summary = None
    for response in server.quantization.QuantizeStream(requests()):
        part = response.WhichOneof("part")
        if part == "codes":
            codes.add(response.codes)
        elif part == "parameter_piece":
            scales.add(np.array(response.parameter_piece.scale).tobytes())
        elif part == "summary":
            summary = response.summary
    assert codes.pieces == reals.count
    if is_dynamic:
        assert scales.pieces == reals.count
    assert summary.element_count == reals.count * PIECE_ELEMENTS
    return unary


def dequantize(server, pb, reals, unary, in_pieces):
    """Sends the codes, and pairs in pieces where there are many."""
    back = []
    for tensor in unary:
        back.append(server.quantization.Dequantize(pb.DequantizeRequest(tensor=tensor)).tensor.data)

    def requests():
        header = pb.DequantizeStreamHeader(dtype=pb.DATA_TYPE_FLOAT32, shape=reals.shape)
        header.parameters.CopyFrom(unary[0].parameters)
        if in_pieces:
            header.parameters.ClearField("scale")
            header.parameters.ClearField("zero_point")
        yield pb.DequantizeStreamRequest(header=header)
        for index in range(reals.count):
            tensor = unary[index % DISTINCT_PIECES]
            if in_pieces:
                yield pb.DequantizeStreamRequest(
                    parameter_piece=pb.ParameterPiece(
                        scale=tensor.parameters.scale, zero_point=tensor.parameters.zero_point
                    )
                )
            yield pb.DequantizeStreamRequest(codes=tensor.codes)

    data = Checker(back)
    summary = None
    for response in server.quantization.DequantizeStream(requests()):
        if response.WhichOneof("part") == "data":
            data.add(response.data)
        else:
            summary = response.summary
    assert data.pieces == reals.count
    assert summary.element_count == reals.count * PIECE_ELEMENTS


def observe(server, pb, reals):
    """Observes all reals; the state is that of the distinct pieces, added up."""

    def requests():
        for index in range(reals.count):
            request = pb.ObserveRequest()
            request.tensor.dtype = pb.DATA_TYPE_FLOAT32
            request.tensor.shape.append(PIECE_ELEMENTS)
            request.tensor.data = reals.bytes(index)
            yield request

    state = server.calibration.Observe(requests()).state
    summary = state.summaries[0]
    assert summary.count == reals.count * PIECE_ELEMENTS
    used = [reals.piece(index) for index in range(min(reals.count, DISTINCT_PIECES))]
    assert summary.min == min(float(piece.min()) for piece in used)
    assert summary.max == max(float(piece.max()) for piece in used)


def run(mib, report=print):
    """Runs everything with `mib` MiB of float32, a row for `report` each."""
    pb, _ = load_stubs()
    reals = Reals(mib * (1 << 20) // (4 * PIECE_ELEMENTS))
    per_tensor = pb.QuantizationParameters(
        spec=pb.QuantizationSpec(scheme=pb.SCHEME_SYMMETRIC), scale=[0.04]
    )
    grouped = {
        size: pb.QuantizationSpec(
            granularity=pb.Granularity(group=pb.Granularity.Group(axis=1, size=size))
        )
        for size in (32, 128)
    }
    results = []

    def measured(name, function):
        server = ServerProcess("--log-level=error")
        try:
            # What any first calls cost does not depend on the tensor's size.
            small = Reals(2 * DISTINCT_PIECES)
            function(server, small)
            memory = Memory(server.process.pid)
            begin = time.monotonic()
            function(server, reals)
            seconds = time.monotonic() - begin
            growth = memory.stop()
        finally:
            code = server.stop()
        assert code == 0, server.stderr()
        report(f"{name:32} {mib / 1024 / seconds:6.2f} GiB/s {growth:7.1f} MiB more")
        results.append((name, growth))

    def both(how):
        in_pieces = isinstance(how, pb.QuantizationSpec)

        def there_and_back(server, some):
            unary = quantize(server, pb, some, how)
            dequantize(server, pb, some, unary, in_pieces)

        return there_and_back

    measured("static, there and back", both(per_tensor))
    for size, spec in grouped.items():
        measured(f"groups of {size}, there and back", both(spec))
    measured("Observe", lambda server, some: observe(server, pb, some))
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mib", type=int, default=4096)
    results = run(parser.parse_args().mib)
    grown = [name for name, growth in results if growth > GROWTH_MAX_MIB]
    for name in grown:
        print(f"{name}: the server grew by more than {GROWTH_MAX_MIB} MiB", file=sys.stderr)
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())

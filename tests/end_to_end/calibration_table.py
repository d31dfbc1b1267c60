#!/usr/bin/env python3
"""The tables of docs/calibration.md, measured on a server.

    tests/end_to_end/calibration_table.py

Everything in them is deterministic: a test runs this again and compares.
"""
import sys

import numpy as np

from server_process import ROOT, ServerProcess, load_stubs

METHODS = ["MIN_MAX", "PERCENTILE", "MSE", "ENTROPY"]
NAMES = {"MIN_MAX": "min-max", "PERCENTILE": "percentile", "MSE": "MSE", "ENTROPY": "entropy"}
BITS = [8, 4, 3]


class Calibrator:
    """Calls on one server."""

    def __init__(self, server):
        self._pb, _ = load_stubs()
        self._server = server

    def _tensor(self, reals):
        return self._pb.Tensor(dtype=1, shape=reals.shape, data=reals.astype("<f4").tobytes())

    def state(self, reals):
        request = self._pb.ObserveRequest(tensor=self._tensor(reals))
        return self._server.calibration.Observe(iter([request])).state

    def parameters(self, state, method, bits, scheme=2):
        return self._server.calibration.ComputeParameters(
            self._pb.ComputeParametersRequest(
                state=state,
                spec=self._pb.QuantizationSpec(scheme=scheme, bits=bits),
                method=f"CALIBRATION_METHOD_{method}",
            )
        )

    def quantized(self, reals, parameters):
        return self._server.quantization.Quantize(
            self._pb.QuantizeRequest(
                parameters=parameters, measure_error=True, tensor=self._tensor(reals)
            )
        )

    def reconstructed(self, reals, bits):
        parameters = self.parameters(self.state(reals), "MIN_MAX", bits).parameters
        request = self._pb.DequantizeRequest(tensor=self.quantized(reals, parameters).tensor)
        data = self._server.quantization.Dequantize(request).tensor.data
        return np.frombuffer(data, "<f4").reshape(reals.shape)


def rows(calibrator, seen, used):
    """One row per number of bits and method: symmetric, one scale."""
    state = calibrator.state(seen)
    yield "| bits | method | scale | saturated | MSE | of min-max's | SQNR, dB |"
    yield "|---|---|---|---|---|---|---|"
    for bits in BITS:
        least = None
        for method in METHODS:
            parameters = calibrator.parameters(state, method, bits).parameters
            reply = calibrator.quantized(used, parameters)
            error = reply.error
            least = least or error.mean_squared_error
            yield (
                f"| {bits} | {NAMES[method]} | {parameters.scale[0]:.6f} "
                f"| {reply.cuts.saturated_count} | {error.mean_squared_error:.4g} "
                f"| {error.mean_squared_error / least:.3f} | {error.sqnr_db:.2f} |"
            )


def expectations(calibrator):
    """How far the expected MSE is from the measured one."""
    generator = np.random.default_rng(7)
    glove = np.load(ROOT / "tests" / "data" / "glove_1000x100.npy")
    samples = {
        "GloVe": glove,
        "Silero VAD": np.load(ROOT / "tests" / "data" / "silero_vad_encoder3.npy"),
        "normal, 100,000": generator.normal(size=100_000),
        "uniform on [-1, 3), 100,000": generator.uniform(-1, 3, 100_000),
        "exponential, 100,000": generator.exponential(size=100_000),
        "integers, normal with deviation 40": np.rint(generator.normal(size=100_000) * 40),
        "integers 0 to 255, uniform": generator.integers(0, 256, 100_000),
        "GloVe, quantized to 8 bits and back": calibrator.reconstructed(glove, 8),
    }
    yield "| reals | 8 bits, min-max | 8 bits, MSE | 4 bits, min-max | 4 bits, MSE |"
    yield "|---|---|---|---|---|"
    for name, reals in samples.items():
        reals = np.asarray(reals, "<f4")
        state = calibrator.state(reals)
        cells = []
        for bits in (8, 4):
            for method in ("MIN_MAX", "MSE"):
                reply = calibrator.parameters(state, method, bits, scheme=1)
                measured = calibrator.quantized(reals, reply.parameters).error
                expected = reply.expected_error.mean_squared_error
                if measured.mean_squared_error < 1e-3 * expected:
                    cells.append("measured 0")
                else:
                    ratio = expected / measured.mean_squared_error
                    cells.append(f"{100 * (ratio - 1):+.2f} %")
        yield f"| {name} | {' | '.join(cells)} |"


def tables(calibrator):
    """Three tables, as lists of lines."""
    glove = np.load(ROOT / "tests" / "data" / "glove_1000x100.npy")
    silero = np.load(ROOT / "tests" / "data" / "silero_vad_encoder3.npy")
    return [
        list(rows(calibrator, glove[::2], glove[1::2])),
        list(rows(calibrator, silero, silero)),
        list(expectations(calibrator)),
    ]


def main():
    server = ServerProcess("--log-level=error")
    try:
        for table in tables(Calibrator(server)):
            print("\n".join(table), end="\n\n")
    finally:
        server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())

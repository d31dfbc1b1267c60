"""Profile ONNX against ONNX Runtime's quantization operators, on its CPU provider."""

import numpy as np
from onnx import TensorProto, helper

import tensors
from halfstep_client import Halfstep, parameters, spec
from onnx_operators import TYPES, dequantize_session, quantize_session, session
from tally import Tally, product_ties, quotient_ties

BLOCK = 32
SUBNORMAL_SCALE = "subnormal scale"


def dynamic(tally, halfstep, rng):
    """DynamicQuantizeLinear: scale, zero point and codes of many tensors."""
    node = helper.make_node("DynamicQuantizeLinear", ["x"], ["codes", "scale", "zero"])
    runtime = session(
        [node],
        [("x", TensorProto.FLOAT, 1)],
        [
            ("codes", TensorProto.UINT8, 1),
            ("scale", TensorProto.FLOAT, 0),
            ("zero", TensorProto.UINT8, 0),
        ],
    )
    row = "DynamicQuantizeLinear: scale, zero point, codes"
    how = spec()
    for kind, matrix in tensors.matrices(rng, 5_000, 0, 255):
        for index, x in enumerate(matrix):
            what = f"{kind}, row {index}"
            if kind == tensors.ANY_SCALE:
                x = tensors.moved_to_ties(x, tensors.width_with_zero(x) / np.float32(255))
            codes, scale, zero = runtime.run(None, {"x": x})
            ours, our_scale, our_zero = halfstep.quantize(x, how)
            tiny = np.full(1, scale < np.finfo(np.float32).tiny)
            tally.compare(row, our_scale, [float(scale)], 0, tiny, SUBNORMAL_SCALE, what)
            tally.compare(row, our_zero, [int(zero)], 0, tiny, SUBNORMAL_SCALE, what)
            out = np.broadcast_to(tiny, ours.shape)
            ties = 0 if tiny[0] else quotient_ties(x / scale)
            tally.compare(row, ours, codes, ties, out, SUBNORMAL_SCALE, what)


def layouts(rng, matrix):
    """(layout, x, axis, group, shape of the pairs) for one matrix, axes by turns."""
    flat = matrix.reshape(-1)
    tall = flat.reshape(matrix.shape)
    deep = flat[: flat.size // 4000 * 4000].reshape(-1, 20, 200)
    axis = int(rng.integers(3))
    yield "per tensor", tall, None, None, ()
    yield "per axis", deep, axis, None, (deep.shape[axis],)
    grid = list(deep.shape)
    axis = int(rng.integers(3))
    # 20 and 200 leave a shorter last block.
    grid[axis] = -(-grid[axis] // BLOCK)
    yield "blocked", deep, axis, BLOCK, tuple(grid)


def spread(pairs, x, axis, group):
    """One value per pair, brought to the elements of x."""
    if axis is None:
        return pairs
    if group is None:
        return pairs.reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    return np.take(pairs, np.arange(x.shape[axis]) // group, axis=axis)


def static(tally, halfstep, rng, name):
    """QuantizeLinear and DequantizeLinear of one type, in every layout."""
    low, high, bits, held = TYPES[name]
    code_type = "UINT" if name.startswith("u") else "INT"
    sessions = {}
    for kind, matrix in tensors.matrices(rng, 4_000, low, high, with_ties=False) + tie_inputs(rng):
        for layout, x, axis, group, grid in layouts(rng, matrix):
            what = f"{kind}, {layout}, axis {axis}"
            scale, zero = pairs_for(rng, kind, x, grid, low, high, held)
            key = (layout, axis)
            if key not in sessions:
                attributes = {} if axis is None else {"axis": axis}
                if group is not None:
                    attributes["block_size"] = group
                ranks = (x.ndim, len(grid), attributes)
                sessions[key] = quantize_session(name, *ranks), dequantize_session(name, *ranks)
            quantizer, dequantizer = sessions[key]
            how = spec(
                bits=bits,
                code_type=code_type,
                axis=axis,
                group=group,
                packing="DENSE" if bits == 4 else "NONE",
            )
            given = parameters(how, scale, zero)
            if kind == tensors.ANY_SCALE:
                x = tensors.moved_to_ties(x, spread(scale, x, axis, group))

            codes = quantizer.run(None, {"x": x, "scale": scale, "zero_outside": zero})[0]
            ours, _, _ = halfstep.quantize(x, given)
            wide_scale, wide_zero = (
                spread(p, x, axis, group) for p in (scale, zero.astype(np.int32))
            )
            ties = quotient_ties(x / wide_scale)
            tally.compare(f"QuantizeLinear {name}, {layout}", ours, codes, ties, what=what)

            codes = rng.integers(low, high, x.shape, dtype=np.int32, endpoint=True)
            # Scales with all their bits: products must round.
            scale = np.asarray(scale * rng.uniform(1, 2, scale.shape), np.float32)
            given = parameters(how, scale, zero)
            inputs = {"codes_outside": codes.astype(held), "scale": scale, "zero_outside": zero}
            reals = dequantizer.run(None, inputs)[0]
            ours = halfstep.dequantize(codes, given)
            ties = product_ties(codes - wide_zero, spread(scale, x, axis, group))
            tally.compare(f"DequantizeLinear {name}, {layout}", ours, reals, ties, what=what)


def tie_inputs(rng):
    """Halves of a power of two, to be quantized with powers of two as scales."""
    halves = rng.integers(-600, 600, (tensors.MADE // 4000, 4000)) / 2.0
    return [("ties", halves.astype(np.float32))]


def pairs_for(rng, kind, x, grid, low, high, held):
    """Scales that spread the reals over the codes and somewhat past their ends."""
    zero = np.asarray(rng.integers(low, high, grid, endpoint=True), held)
    if kind == "ties":
        scale = 2.0 ** rng.integers(-1, 2, grid)
    else:
        # Half of the reals' own range over the codes: some saturate.
        width = float(np.quantile(np.abs(x.reshape(-1)[:10_000]), 0.99)) or 1.0
        scale = width / (high - low) * 10.0 ** rng.uniform(-0.3, 1, grid)
        if kind.startswith("bfloat16"):
            scale = 2.0 ** np.round(np.log2(scale))
    return np.asarray(scale, np.float32), zero


def main():
    halfstep = Halfstep()
    tally = Tally("onnxruntime")
    rng = np.random.default_rng(tensors.seed())
    dynamic(tally, halfstep, rng)
    for name in TYPES:
        static(tally, halfstep, rng, name)
    tally.write()


if __name__ == "__main__":
    main()

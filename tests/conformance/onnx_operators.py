"""ONNX Runtime's quantization operators, one model each, on its CPU provider."""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

# Blocked quantization and 4-bit types came with opset 21.
OPSET = helper.make_opsetid("", 21)
IR_VERSION = 10
# Of each: lowest code, highest code, bits, what holds it in NumPy.
TYPES = {
    "uint8": (0, 255, 8, np.uint8),
    "int8": (-128, 127, 8, np.int8),
    "uint16": (0, 65535, 16, np.uint16),
    "int16": (-32768, 32767, 16, np.int16),
    "uint4": (0, 15, 4, np.uint8),
    "int4": (-8, 7, 4, np.int8),
}


def session(nodes, inputs, outputs):
    graph = helper.make_graph(
        nodes,
        "conformance",
        [helper.make_tensor_value_info(n, t, [None] * rank) for n, t, rank in inputs],
        [helper.make_tensor_value_info(n, t, [None] * rank) for n, t, rank in outputs],
    )
    model = helper.make_model(graph, opset_imports=[OPSET], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    # The operators themselves, and no fused form of them.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    # The machine is shared with the server.
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def cast_pair(name):
    """4-bit types have no NumPy form: they come and go as 8-bit ones, with a Cast."""
    onnx_type = getattr(TensorProto, name.upper())
    outside = {"uint4": TensorProto.UINT8, "int4": TensorProto.INT8}.get(name, onnx_type)
    return onnx_type, outside


def quantize_session(name, rank, pair_rank, attributes):
    onnx_type, outside = cast_pair(name)
    nodes = [
        helper.make_node("Cast", ["zero_outside"], ["zero"], to=onnx_type),
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["codes"], **attributes),
        helper.make_node("Cast", ["codes"], ["y"], to=TensorProto.INT32),
    ]
    inputs = [
        ("x", TensorProto.FLOAT, rank),
        ("scale", TensorProto.FLOAT, pair_rank),
        ("zero_outside", outside, pair_rank),
    ]
    return session(nodes, inputs, [("y", TensorProto.INT32, rank)])


def dequantize_session(name, rank, pair_rank, attributes):
    onnx_type, outside = cast_pair(name)
    nodes = [
        helper.make_node("Cast", ["zero_outside"], ["zero"], to=onnx_type),
        helper.make_node("Cast", ["codes_outside"], ["codes"], to=onnx_type),
        helper.make_node("DequantizeLinear", ["codes", "scale", "zero"], ["y"], **attributes),
    ]
    inputs = [
        ("codes_outside", outside, rank),
        ("scale", TensorProto.FLOAT, pair_rank),
        ("zero_outside", outside, pair_rank),
    ]
    return session(nodes, inputs, [("y", TensorProto.FLOAT, rank)])

"""NumPy arrays in and out of a running server, with nothing but its proto.

The modules that protoc generates must be on PYTHONPATH; the server's address is
in $HALFSTEP_ADDRESS.
"""

import math
import os

import grpc
import numpy as np
from halfstep.v1 import quantization_pb2 as pb
from halfstep.v1 import quantization_pb2_grpc

DTYPES = {np.dtype(np.float32): pb.DATA_TYPE_FLOAT32, np.dtype(np.float64): pb.DATA_TYPE_FLOAT64}
REALS = {number: dtype for dtype, number in DTYPES.items()}
UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


def spec(
    bits=8,
    scheme="ASYMMETRIC",
    code_type="UINT",
    profile="ONNX",
    axis=None,
    group=None,
    packing="NONE",
):
    message = pb.QuantizationSpec(
        bits=bits,
        scheme=pb.Scheme.Value("SCHEME_" + scheme),
        code_type=pb.CodeType.Value("CODE_TYPE_" + code_type),
        profile=pb.Profile.Value("PROFILE_" + profile),
        packing=pb.Packing.Value("PACKING_" + packing),
    )
    if group is not None:
        message.granularity.group.axis = axis
        message.granularity.group.size = group
    elif axis is not None:
        message.granularity.axis = axis
    return message


def parameters(message, scale, zero_point):
    given = pb.QuantizationParameters(spec=message)
    given.scale.extend(np.asarray(scale, np.float64).reshape(-1).tolist())
    if message.scheme != pb.SCHEME_SYMMETRIC:
        given.zero_point.extend(np.asarray(zero_point).reshape(-1).tolist())
    return given


def tensor(reals):
    return pb.Tensor(dtype=DTYPES[reals.dtype], shape=reals.shape, data=reals.tobytes())


class Halfstep:
    """One connection. Codes are int32 arrays, flat, in row-major order."""

    def __init__(self):
        self._channel = grpc.insecure_channel(os.environ["HALFSTEP_ADDRESS"], options=UNLIMITED)
        self._stub = quantization_pb2_grpc.QuantizationServiceStub(self._channel)

    def quantize(self, reals, how):
        """(codes, scale, zero_point) for a spec or for parameters."""
        request = pb.QuantizeRequest(tensor=tensor(reals), **_how(how))
        reply = self._stub.Quantize(request).tensor
        scale = np.array(reply.parameters.scale)
        zero_point = np.array(reply.parameters.zero_point, np.int64)
        return decode(reply.codes, reply.parameters.spec, reals.size), scale, zero_point

    def float_codes(self, reals, code_type):
        """16-bit patterns of FLOAT16 or BFLOAT16 codes."""
        how = pb.QuantizationSpec(code_type=pb.CodeType.Value("CODE_TYPE_" + code_type))
        reply = self._stub.Quantize(pb.QuantizeRequest(tensor=tensor(reals), spec=how))
        return np.frombuffer(reply.tensor.codes, "<u2")

    def dequantize(self, codes, given, dtype=np.float32):
        """Reals, flat, from codes of any shape."""
        request = pb.DequantizeRequest()
        request.tensor.parameters.CopyFrom(given)
        request.tensor.dtype = DTYPES[np.dtype(dtype)]
        request.tensor.shape.extend(codes.shape)
        request.tensor.codes = encode(codes.reshape(-1), given.spec)
        reply = self._stub.Dequantize(request).tensor
        return np.frombuffer(reply.data, dtype)

    def fake_quantize(self, reals, given):
        """(reals, gradient mask), flat."""
        request = pb.FakeQuantizeRequest(parameters=given, gradient_mask=True, tensor=tensor(reals))
        reply = self._stub.FakeQuantize(request)
        mask = np.unpackbits(np.frombuffer(reply.gradient_mask, np.uint8), bitorder="little")
        return np.frombuffer(reply.tensor.data, reals.dtype), mask[: reals.size].astype(bool)


def _how(how):
    return {"spec" if isinstance(how, pb.QuantizationSpec) else "parameters": how}


def _integer(message):
    kind = "u" if message.code_type == pb.CODE_TYPE_UINT else "i"
    return np.dtype(f"<{kind}{1 if message.bits <= 8 else 2}")


def decode(data, message, count):
    """Codes of 4, 8 or 16 bits as int32; 4 bits densely packed."""
    if message.packing != pb.PACKING_DENSE:
        return np.frombuffer(data, _integer(message)).astype(np.int32)
    packed = np.frombuffer(data, np.uint8)
    nibbles = np.stack([packed & 15, packed >> 4], axis=1).reshape(-1)[:count].astype(np.int32)
    return (
        np.where(nibbles > 7, nibbles - 16, nibbles) if _integer(message).kind == "i" else nibbles
    )


def encode(codes, message):
    if message.packing != pb.PACKING_DENSE:
        return codes.astype(_integer(message)).tobytes()
    nibbles = np.zeros(2 * math.ceil(len(codes) / 2), np.uint8)
    nibbles[: len(codes)] = codes & 15
    return (nibbles[0::2] | nibbles[1::2] << 4).tobytes()

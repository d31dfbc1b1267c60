"""What a user would otherwise write: grpcio, NumPy and the notebook's functions.

    /usr/bin/python3 tests/bench/numpy_server.py ADDRESS

Serves Quantize for float32 tensors, asymmetric at 8 bits, with the notebook's
formulas. Prints `listening on ADDRESS` and serves until SIGTERM. Needs the
messages that proto/ generates for Python on PYTHONPATH.
"""

import signal
import sys
import threading
from concurrent import futures

import grpc
import numpy as np

from halfstep.v1 import quantization_pb2 as pb

UNLIMITED = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
]


def asymmetric_quantization(params, bits):
    """The notebook's: the range as it is, clamped after rounding."""
    alpha, beta = np.max(params), np.min(params)
    scale = (alpha - beta) / (2**bits - 1)
    zero = -1 * np.round(beta / scale)
    lower_bound, upper_bound = 0, 2**bits - 1
    quantized = np.round(params / scale + zero)
    quantized[quantized < lower_bound] = lower_bound
    quantized[quantized > upper_bound] = upper_bound
    return quantized.astype(np.int32), scale, zero


def quantize(request, _context):
    tensor = request.tensor
    params = np.frombuffer(tensor.data, dtype="<f4")
    codes, scale, zero = asymmetric_quantization(params, 8)
    response = pb.QuantizeResponse()
    response.tensor.codes = codes.astype(np.uint8).tobytes()
    response.tensor.shape.extend(tensor.shape)
    response.tensor.dtype = tensor.dtype
    response.tensor.parameters.scale.append(float(scale))
    response.tensor.parameters.zero_point.append(int(zero))
    return response


def info(_request, _context):
    """What the load tester asks before it begins."""
    return pb.GetServerInfoResponse(max_message_bytes=256 << 20)


def main():
    address = sys.argv[1]
    server = grpc.server(futures.ThreadPoolExecutor(2), options=UNLIMITED)
    methods = {
        "Quantize": grpc.unary_unary_rpc_method_handler(
            quantize,
            request_deserializer=pb.QuantizeRequest.FromString,
            response_serializer=pb.QuantizeResponse.SerializeToString,
        ),
        "GetServerInfo": grpc.unary_unary_rpc_method_handler(
            info,
            request_deserializer=pb.GetServerInfoRequest.FromString,
            response_serializer=pb.GetServerInfoResponse.SerializeToString,
        ),
    }
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("halfstep.v1.QuantizationService", methods)]
    )
    port = server.add_insecure_port(address)
    server.start()
    if not address.startswith("unix:"):
        address = f"{address.rpartition(':')[0]}:{port}"
    print(f"listening on {address}", flush=True)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    stop.wait()
    server.stop(None).wait()


if __name__ == "__main__":
    main()

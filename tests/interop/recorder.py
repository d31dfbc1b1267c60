"""A server in front of the real one that notes what it is asked."""
from concurrent import futures

import grpc

FORWARD_TIMEOUT_SECONDS = 60
UNLIMITED = [("grpc.max_receive_message_length", -1)]


class Recorder(grpc.GenericRpcHandler):
    """Listens on `address` once it is made, until stop(). Passes messages on as bytes,
    streams of a single message as well.

    `requests` has the last request of each method, by the end of its name ("Quantize").
    """

    def __init__(self, target):
        self.requests = {}
        self._channel = grpc.insecure_channel(target, options=UNLIMITED)
        self._server = grpc.server(
            futures.ThreadPoolExecutor(max_workers=4), handlers=[self], options=UNLIMITED)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def service(self, call):
        forward = self._channel.unary_unary(call.method)

        def answer(request, context):
            self.requests[call.method.rpartition("/")[2]] = request
            return forward(request, timeout=FORWARD_TIMEOUT_SECONDS)

        return grpc.unary_unary_rpc_method_handler(answer)

    def stop(self):
        self._server.stop(grace=None).wait()
        self._channel.close()

"""A server in front of the real one."""
from concurrent import futures

import grpc

from server_process import UNLIMITED

FORWARD_TIMEOUT_SECONDS = 60


class Proxy(grpc.GenericRpcHandler):
    """Listens on `address` once it is made, until stop(). Passes messages on as bytes,
    streams of a single message as well.

    What is between is `answer` of those who derive from it: the reply to `request` of the
    method whose name ends with `method` ("Quantize"); `forward(request)` is the real one.
    """

    def __init__(self, target):
        self._channel = grpc.insecure_channel(target, options=UNLIMITED)
        self._server = grpc.server(
            futures.ThreadPoolExecutor(max_workers=4), handlers=[self], options=UNLIMITED)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def answer(self, method, request, forward):
        raise NotImplementedError

    def service(self, call):
        method = call.method.rpartition("/")[2]
        real = self._channel.unary_unary(call.method)

        def forward(request):
            return real(request, timeout=FORWARD_TIMEOUT_SECONDS)

        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self.answer(method, request, forward))

    def stop(self):
        self._server.stop(grace=None).wait()
        self._channel.close()

"""A server in front of the real one that changes one byte of one reply."""
from concurrent import futures
import itertools

import grpc

from server_process import UNLIMITED


class FlippingProxy(grpc.GenericRpcHandler):
    """Listens on `address` until stop().

    `target`     address of the real server.
    `change`     a function from a reply of the method to the changed one, or None to
                 leave it.
    `method`     the last part of its name, "Quantize".
    `from_call`  how many replies of the method pass unchanged first.
    """

    def __init__(self, target, method, change, from_call):
        self._channel = grpc.insecure_channel(target, options=UNLIMITED)
        self._method = method
        self._change = change
        self._from_call = from_call
        self._calls = itertools.count()
        self.changed = 0
        self._server = grpc.server(
            futures.ThreadPoolExecutor(max_workers=4), handlers=[self], options=UNLIMITED)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def service(self, call):
        forward = self._channel.unary_unary(call.method)

        def answer(request, context):
            reply = forward(request, timeout=60)
            if not call.method.endswith("/" + self._method):
                return reply
            if next(self._calls) != self._from_call:
                return reply
            self.changed += 1
            return self._change(reply)

        return grpc.unary_unary_rpc_method_handler(answer)

    def stop(self):
        self._server.stop(grace=None).wait()
        self._channel.close()

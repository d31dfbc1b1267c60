"""A server between a client and the real one that does one thing wrong.

It passes messages on as bytes, and knows nothing of what is in them. What it does
wrong is one of

  busy     the first two calls are refused with RESOURCE_EXHAUSTED, and RetryInfo
           of 50 and then 120 ms. A caller that is back earlier gets ABORTED.
  swamped  every call is refused so, with 1 ms.
  limited  every call is refused with RESOURCE_EXHAUSTED without RetryInfo.
  flip     one bit of one reply is changed.
"""
from concurrent import futures
import threading
import time

import grpc

from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

BUSY_MILLISECONDS = (50, 120)
# Field 1000, of wire type 2.
PAYLOAD_TAG = b"\xc2\x3e"
FORWARD_TIMEOUT_SECONDS = 60


def details(message, *kinds):
    status = status_pb2.Status(code=grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], message=message)
    for kind in kinds:
        detail = any_pb2.Any()
        detail.Pack(kind)
        status.details.append(detail)
    return (("grpc-status-details-bin", status.SerializeToString()),)


class FaultyServer(grpc.GenericRpcHandler):
    """Listens on `address` once it is made, until stop().

    `target`      address of the real server.
    `fault`       busy, swamped, limited or flip.
    `flip_reply`  flip: which reply, from 0, has the lowest bit of its last byte
                  changed. Only replies with a payload count; it is their last field.

    `calls` counts what came so far, `payloads` the replies with a payload.
    """

    def __init__(self, target, fault, flip_reply=0):
        self._channel = grpc.insecure_channel(
            target, options=[("grpc.max_receive_message_length", -1)])
        self._fault = fault
        self._flip_reply = flip_reply
        self._lock = threading.Lock()
        self._not_before = None
        self.calls = 0
        self.payloads = 0
        self._server = grpc.server(
            futures.ThreadPoolExecutor(max_workers=4),
            handlers=[self],
            options=[("grpc.max_receive_message_length", -1)])
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def stop(self):
        self._server.stop(grace=None).wait()
        self._channel.close()

    def service(self, call):
        forward = self._channel.unary_unary(call.method)
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self._answer(forward, request, context))

    def _answer(self, forward, request, context):
        with self._lock:
            number = self.calls
            self.calls += 1
            if self._fault != "flip":
                self._refuse(number, context)
        try:
            reply = forward(request, timeout=FORWARD_TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            context.set_trailing_metadata(
                tuple(item for item in error.trailing_metadata() if item[0].startswith("grpc-")))
            context.abort(error.code(), error.details())
        if self._fault == "flip" and PAYLOAD_TAG in reply:
            with self._lock:
                number = self.payloads
                self.payloads += 1
            if number == self._flip_reply:
                return reply[:-1] + bytes([reply[-1] ^ 1])
        return reply

    def _refuse(self, number, context):
        """Aborts the call, which raises, unless this server has been busy for long enough."""
        if self._fault == "limited":
            bad_request = error_details_pb2.BadRequest()
            bad_request.field_violations.add(field="tensor.values", description="too many")
            context.set_trailing_metadata(details("over a limit", bad_request))
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "over a limit")
        if self._not_before is not None and time.monotonic() < self._not_before:
            early = (self._not_before - time.monotonic()) * 1000
            context.abort(grpc.StatusCode.ABORTED, f"back {early:.1f} ms too early")
        if self._fault == "swamped":
            milliseconds = 1
        elif number < len(BUSY_MILLISECONDS):
            milliseconds = BUSY_MILLISECONDS[number]
        else:
            self._not_before = None
            return
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(milliseconds)
        self._not_before = time.monotonic() + milliseconds / 1000
        context.set_trailing_metadata(details("busy", retry))
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy")

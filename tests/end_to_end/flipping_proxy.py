"""A server in front of the real one that changes one byte of one reply."""
import itertools

from proxy import Proxy


class FlippingProxy(Proxy):
    """One reply of one method.

    `method`     the last part of its name, "Quantize".
    `change`     a function from a reply to the changed one.
    `from_call`  how many replies of the method pass unchanged first.
    """

    def __init__(self, target, method, change, from_call):
        self._method = method
        self._change = change
        self._from_call = from_call
        self._calls = itertools.count()
        self.changed = 0
        super().__init__(target)

    def answer(self, method, request, forward):
        reply = forward(request)
        if method != self._method:
            return reply
        if next(self._calls) != self._from_call:
            return reply
        self.changed += 1
        return self._change(reply)

"""A server in front of the real one that notes what it is asked."""
from proxy import Proxy


class Recorder(Proxy):
    """`requests` has the last request of each method, by the end of its name."""

    def __init__(self, target):
        self.requests = {}
        super().__init__(target)

    def answer(self, method, request, forward):
        self.requests[method] = request
        return forward(request)

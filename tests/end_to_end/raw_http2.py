"""Calls that no gRPC library would make: HTTP/2 frames by hand."""

import socket
import struct


class RawConnection:
    """HTTP/2 by hand: headers and nothing else, many calls at a time."""

    PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    HEADERS, RESET, SETTINGS, GOAWAY = 1, 3, 4, 7

    def __init__(self, address, name=None):
        """Connects to HOST:PORT or unix:PATH; a unix socket may have a `name` of its own."""
        if address.startswith("unix:"):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(60)
            if name is not None:
                self.socket.bind(name)
            self.socket.connect(address[len("unix:"):])
        else:
            host, port = address.rsplit(":", 1)
            self.socket = socket.create_connection((host, int(port)), timeout=60)
        self.socket.sendall(self.PREFACE + self.frame(self.SETTINGS, 0, 0, b""))
        self.buffer = b""
        self.next_stream = 1
        self.is_open = True

    @staticmethod
    def frame(kind, flags, stream, payload):
        return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload

    @staticmethod
    def literal(name, value):
        """A header field that leaves no trace in the table (RFC 7541, 6.2.2)."""
        def text(string):
            # Lengths of 127 and more take a second byte or two (RFC 7541, 5.1).
            length = len(string)
            if length < 127:
                return bytes([length]) + string
            rest, out = length - 127, [127]
            while rest >= 128:
                out.append(rest % 128 + 128)
                rest //= 128
            return bytes([*out, rest]) + string
        return b"\0" + text(name) + text(value)

    def call(self, paths, headers=()):
        """Calls each of `paths` with no message, and returns how many were answered.

        Fewer than there are if the server closes the connection, as it does with
        one that sends much and calls nothing that there is.
        """
        fields = [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"a"),
                  (b"te", b"trailers"), (b"content-type", b"application/grpc"), *headers]
        rest = b"".join(self.literal(*field) for field in fields)
        frames = []
        for path in paths:
            # END_STREAM and END_HEADERS.
            frames.append(self.frame(self.HEADERS, 5, self.next_stream, self.literal(b":path", path) + rest))
            self.next_stream += 2
        answered = 0
        try:
            self.socket.sendall(b"".join(frames))
            while answered < len(paths):
                answered += self.take_frame()
        except ConnectionError:
            self.is_open = False
        return answered

    def take_frame(self):
        """Whether the next frame is an answer."""
        kind, flags = self.read_frame()
        if kind == self.SETTINGS and not flags & 1:
            self.socket.sendall(self.frame(self.SETTINGS, 1, 0, b""))
        if kind == self.GOAWAY:
            raise ConnectionError("told to go away")
        # An answer without a message is one block of headers that ends the stream.
        return kind == self.HEADERS and flags & 1

    def read_frame(self):
        while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
            received = self.socket.recv(65536)
            if not received:
                raise ConnectionError("closed")
            self.buffer += received
        size = int.from_bytes(self.buffer[:3], "big")
        kind, flags = self.buffer[3], self.buffer[4]
        self.buffer = self.buffer[9 + size:]
        return kind, flags

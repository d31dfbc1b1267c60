"""The admin port: its pages, and clients that are slow, many, or talk too much."""
import http.client
import signal
import socket
import subprocess
import threading
import time

import grpc
import pytest

from server_process import binary

ADMIN = "--admin-listen=127.0.0.1:0"
CONNECTIONS_MAX = 64
CONNECTION_SECONDS = 10


@pytest.fixture
def watched(start_server):
    return start_server(ADMIN)


def connect(server):
    host, port = server.admin().rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=30)


def answer(connection, request):
    """Sends bytes and reads until the other side closes."""
    connection.sendall(request)
    received = b""
    while piece := connection.recv(65536):
        received += piece
    return received


def is_closed(connection):
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def test_pages(watched):
    assert watched.page("/livez") == (200, "ok\n")
    assert watched.page("/readyz") == (200, "ok\n")
    assert watched.page("/metrics")[0] == 200
    for page in ("/metrics", "/livez", "/readyz"):
        assert page in watched.page("/")[1]
    for path in ("/nowhere", "/metrics/", "/../etc/passwd", "/%2e%2e/metrics", "//metrics", "*"):
        assert watched.page(path)[0] == 404, path
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "MADEUP"):
        assert watched.page("/metrics", method)[0] == 405, method
    # A query is nobody's business.
    assert watched.page("/readyz?verbose=1") == (200, "ok\n")
    assert watched.page("/livez", "HEAD") == (200, "")


def test_what_prometheus_reads_says_what_it_is(watched):
    host, port = watched.admin().rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    connection.request("GET", "/metrics")
    response = connection.getresponse()
    assert response.getheader("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
    assert response.getheader("Connection") == "close"
    assert len(response.read()) == int(response.getheader("Content-Length"))
    connection.close()


def test_readiness_ends_before_the_server_does(start_server):
    running = start_server(ADMIN, "--drain-timeout=30")
    never = threading.Event()

    def nothing():
        never.wait(60)
        yield b""

    # A call that is in flight keeps the server in its drain.
    hanging = running.channel.stream_unary("/halfstep.v1.QuantizationService/Quantize").future(nothing())
    while 'phase="reading"} 1\n' not in running.page("/metrics")[1]:
        pass
    running.process.send_signal(signal.SIGTERM)
    end = time.monotonic() + 30
    while (page := running.page("/readyz"))[0] == 200:
        assert time.monotonic() < end
    assert page[0] == 503 and page[1].strip()
    # It is alive all the same, and says what holds it up.
    assert running.page("/livez") == (200, "ok\n")
    metrics = running.page("/metrics")[1]
    assert "halfstep_serving 0\n" in metrics and 'phase="reading"} 1\n' in metrics
    hanging.cancel()
    never.set()
    assert running.process.wait(timeout=60) == 0


def test_slow_clients_do_not_hold_the_port(watched):
    """Whoever asks at once is answered, however many others take their time."""
    slow = [connect(watched) for _ in range(4 * CONNECTIONS_MAX)]
    for connection in slow:
        try:
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\nX-Slow: ")
        except ConnectionError:
            pass  # one of those that are closed for others
    for _ in range(20):
        begin = time.monotonic()
        assert watched.page("/livez") == (200, "ok\n")
        assert time.monotonic() - begin < 5
    # Those past the first 64 were closed, oldest first; the others get no longer
    # than anybody, though they go on sending.
    begin = time.monotonic()
    for connection in slow:
        connection.settimeout(0.001)
    left = list(slow)
    while left:
        assert time.monotonic() - begin < 3 * CONNECTION_SECONDS, len(left)
        for connection in list(left):
            try:
                connection.sendall(b"a")
                if connection.recv(65536) == b"":
                    left.remove(connection)
            except TimeoutError:
                pass
            except ConnectionError:
                left.remove(connection)
        if len(left) > CONNECTIONS_MAX:
            assert time.monotonic() - begin < CONNECTION_SECONDS
        time.sleep(0.05)
    assert watched.page("/livez") == (200, "ok\n")


def test_headers_without_end(watched):
    first = b"GET /metrics HTTP/1.1\r\nHost: a\r\n"
    received = b""
    try:
        received = answer(connect(watched), first + b"".join(b"X-%d: %s\r\n" % (i, b"a" * 100) for i in range(10_000)))
    except ConnectionError:
        pass  # closed while this was still sending
    assert received == b"" or received.startswith((b"HTTP/1.1 431", b"HTTP/1.1 413")), received[:100]
    received = b""
    try:
        received = answer(connect(watched), b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\n\r\n")
    except ConnectionError:
        pass
    assert received == b"" or received.startswith((b"HTTP/1.1 414", b"HTTP/1.1 413")), received[:100]
    assert watched.page("/livez") == (200, "ok\n")


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),  # TLS
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
        b"\r\n" * 1000 + b"\r\n",
        b"GET\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"POST /metrics HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        b"GET /\x00\xff\n\x1b[2J HTTP/1.1\r\nHost: a\r\n\r\n",
        bytes(range(256)) * 4,
    ],
)
def test_what_is_no_request(watched, request_):
    connection = connect(watched)
    try:
        connection.sendall(request_)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
    except ConnectionError:
        pass
    connection.close()
    assert watched.page("/livez") == (200, "ok\n")
    assert watched.process.poll() is None


def test_two_servers_on_one_machine(start_server):
    """A port that nobody asked for stops nobody; one that was asked for must be free."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = subprocess.run(
            [binary("halfstep-server"), "--listen=127.0.0.1:0", f"--admin-listen={address}"],
            capture_output=True, text=True, timeout=60,
        )
        assert ended.returncode == 1 and ended.stdout == ""
        assert ended.stderr.startswith(f"halfstep-server: --admin-listen: {address}: cannot be bound")
        assert ended.stderr.endswith("must be an address of this machine that is free\n")
        assert ended.stderr.count("\n") == 1
    # The default port has one server at most; whoever is second says so and serves.
    first, second = start_server("--admin-listen=auto"), start_server("--admin-listen=auto")
    second.await_log("warning --admin-listen: 127.0.0.1:50052: cannot be bound: .*; goes on without metrics")
    assert "admin on" not in second.stderr()
    for running in (first, second):
        assert running.quantization.GetServerInfo(running.messages.GetServerInfoRequest()).version


@pytest.mark.parametrize("value", ["nowhere", "on", ":", "127.0.0.1:port", "127.0.0.1:70000", ""])
def test_an_address_that_is_none(value):
    ended = subprocess.run(
        [binary("halfstep-server"), "--listen=127.0.0.1:0", f"--admin-listen={value}"],
        capture_output=True, text=True, timeout=60,
    )
    assert ended.returncode != 0
    assert ended.stderr.startswith("halfstep-server: --admin-listen: ") and ended.stderr.count("\n") == 1


def test_off_means_off(start_server):
    running = start_server("--admin-listen=off")
    running.quantization.GetServerInfo(running.messages.GetServerInfoRequest())
    running.await_log("GetServerInfo")
    assert "admin" not in running.stderr()


def test_a_unix_socket(start_server, tmp_path):
    path = tmp_path / "admin.sock"
    running = start_server(f"--admin-listen=unix:{path}")
    running.await_log("admin on unix:")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(str(path))
        received = answer(connection, b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 200") and received.endswith(b"\r\n\r\nok\n")
    assert running.stop() == 0
    assert not path.exists()


def test_calls_do_not_notice_the_port(pb, watched):
    """Calls go on while the port is flooded."""
    stop = threading.Event()

    def flood():
        while not stop.is_set():
            try:
                connect(watched).sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
            except OSError:
                pass

    floods = [threading.Thread(target=flood) for _ in range(2)]
    for thread in floods:
        thread.start()
    try:
        for _ in range(200):
            watched.quantization.GetServerInfo(pb.GetServerInfoRequest(), timeout=10)
    except grpc.RpcError as error:
        raise AssertionError(error) from error
    finally:
        stop.set()
        for thread in floods:
            thread.join()

"""The listener under floods of connections, and without descriptors."""

import os
import resource
import signal
import socket
import stat
import subprocess
import time

import grpc
import health_pb2
import health_pb2_grpc
import pytest

import attacks
import raw_http2 as http2
from observed import Observed, start
from process_usage import descriptors
from server_process import binary, eventually

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def health(channel):
    stub = health_pb2_grpc.HealthStub(channel)
    return stub.Check(health_pb2.HealthCheckRequest(), timeout=10).status


def limit_descriptors(server, count):
    _, hard = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (count, hard))


def test_a_flood_of_connections():
    server = start("--max-connections=200", "--max-connections-per-host=200")
    with Observed(server) as observed:
        kept = attacks.connections(server.address, 2000)
    observed.check("flood of connections", cpu_max=5, ceiling_mib=100)
    # The bystander has one of them, and the warm-up had one.
    assert 190 <= kept <= 200
    assert "turned away" in server.stderr()
    assert server.stop() == 0


def test_a_thousand_idle_connections():
    server = start()
    with Observed(server) as observed:
        assert attacks.connections(server.address, 1000) == 1000
    observed.check("1000 idle connections", cpu_max=5)
    assert eventually(lambda: descriptors(server.process.pid) < 100, seconds=20)
    assert server.stop() == 0


def test_half_greetings_are_cut_off():
    server = start("--handshake-timeout=1s")
    silent = [http2.dial(server.address) for _ in range(50)]
    with Observed(server) as observed:
        half = attacks.partial_greetings(server.address, 50)
        assert eventually(lambda: all(http2.is_closed(one) for one in half + silent), seconds=20)
    observed.check("half greetings", cpu_max=5, ceiling_mib=100)
    for one in half + silent:
        one.close()
    assert server.stop() == 0


def test_without_descriptors_it_recovers_and_health_says_so():
    server = start("--watchdog-interval=200ms")
    channel = server.channel
    assert health(channel) == SERVING
    with Observed(server, bystander=False) as observed:
        time.sleep(0.3)  # the connection that warmed it up is gone
        limit_descriptors(server, descriptors(server.process.pid))
        # All of them are turned away, none is left waiting.
        assert attacks.connections(server.address, 300) == 0
        assert eventually(lambda: health(channel) == NOT_SERVING, seconds=20)
    limit_descriptors(server, 1024)
    assert eventually(lambda: health(channel) == SERVING, seconds=20)
    observed.check("no descriptors", cpu_max=5, ceiling_mib=100)
    text = server.stderr()
    assert "does not answer new connections" in text and "answers new connections again" in text
    assert server.stop() == 0


def test_few_descriptors_from_the_start():
    code = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)); os.execv(sys.argv[1], sys.argv[1:])"
    flags = ["--listen=127.0.0.1:0", "--admin-listen=off"]
    process = subprocess.Popen(
        ["/usr/bin/python3", "-c", code, binary("halfstep-server"), *flags],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    address = process.stdout.readline().strip().removeprefix("listening on ")
    for _ in range(3):
        # 32 connections, of which one host may have 24.
        kept = attacks.connections(address, 200, seconds=0.3)
        # The server may not have noticed yet that those of the last round have gone.
        patience = time.monotonic() + 20
        while kept < 20 and time.monotonic() < patience:
            kept = attacks.connections(address, 200, seconds=0.3)
        assert 20 <= kept <= 24
    with grpc.insecure_channel(address) as channel:
        assert health(channel) == SERVING
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0


def test_a_stale_socket_is_replaced_and_a_live_one_is_not(tmp_path):
    path = tmp_path / "halfstep.sock"
    address = f"unix:{path}"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    first = start(listen=(address,))
    with grpc.insecure_channel(address) as channel:
        assert health(channel) == SERVING
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
    second = subprocess.run(
        [binary("halfstep-server"), f"--listen={address}", "--admin-listen=off"],
        capture_output=True, text=True, timeout=30)
    assert second.returncode == 1 and "Address already in use" in second.stderr
    with grpc.insecure_channel(address) as channel:
        assert health(channel) == SERVING
    assert first.stop() == 0
    assert not path.exists()


def test_what_is_no_socket_stays(tmp_path):
    path = tmp_path / "precious"
    path.write_text("data")
    ended = subprocess.run(
        [binary("halfstep-server"), f"--listen=unix:{path}", "--admin-listen=off"],
        capture_output=True, text=True, timeout=30)
    assert ended.returncode == 1
    assert path.read_text() == "data"


@pytest.mark.parametrize("host", ["localhost", "[::1]", "[::]", "0.0.0.0"])
def test_names_and_families(host):
    server = start("--allow-plaintext", listen=(f"{host}:0",))
    port = server.address.rsplit(":", 1)[1]
    assert server.address == f"{host}:{port}" and port != "0"
    targets = {"localhost": ["127.0.0.1"], "[::1]": ["[::1]"], "[::]": ["[::1]", "127.0.0.1"],
               "0.0.0.0": ["127.0.0.1"]}[host]
    for target in targets:
        with grpc.insecure_channel(f"{target}:{port}") as channel:
            assert health(channel) == SERVING
            call = channel.unary_unary("/halfstep.v1.QuantizationService/GetServerInfo")
            assert call(b"", timeout=10)
        name = "ipv4:127.0.0.1" if "127" in target else "ipv6:%5B::1%5D"
        assert eventually(lambda: f"peer={name}:" in server.stderr(), seconds=20)
    assert server.stop() == 0


def test_clients_may_ping_as_often_as_they_like(pb):
    server = start()
    options = [("grpc.keepalive_time_ms", 100), ("grpc.keepalive_timeout_ms", 5000),
               ("grpc.keepalive_permit_without_calls", 1), ("grpc.http2.max_pings_without_data", 0),
               ("grpc.use_local_subchannel_pool", 1)]
    states = []
    with grpc.insecure_channel(server.address, options=options) as channel:
        channel.subscribe(states.append)
        call = channel.unary_unary("/halfstep.v1.QuantizationService/GetServerInfo")
        assert call(b"", timeout=10)
        time.sleep(3)
        assert call(b"", timeout=10)
    assert grpc.ChannelConnectivity.TRANSIENT_FAILURE not in states
    assert server.stop() == 0


def test_old_connections_are_closed_and_no_call_is_lost(pb):
    server = start("--max-connection-age=1s", "--max-connection-age-grace=10s")
    with grpc.insecure_channel(server.address) as channel:
        call = channel.unary_unary("/halfstep.v1.QuantizationService/GetServerInfo")
        end = time.monotonic() + 4
        while time.monotonic() < end:
            assert call(b"", timeout=10)
    ports = {line.split("peer=")[1].split()[0] for line in server.stderr().splitlines() if "peer=" in line}
    assert len(ports) >= 3
    assert server.stop() == 0

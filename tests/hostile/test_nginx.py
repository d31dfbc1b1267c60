"""docker/nginx.conf in front of a server: attacks end there, calls pass."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

import grpc
import numpy as np
import pytest

import attacks
from observed import Observed, resident_mib, start
from server_process import UNLIMITED, load_stubs

MIB = 1 << 20
ROOT = pathlib.Path(__file__).resolve().parents[2]
NGINX = shutil.which("nginx") or "/usr/sbin/nginx"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


class Front:
    """nginx with docker/nginx.conf, of which only addresses and paths are changed."""

    def __init__(self, server, folder):
        self.address = f"127.0.0.1:{free_port()}"
        text = (ROOT / "docker" / "nginx.conf").read_text()
        changes = [
            ("server 127.0.0.1:50051", f"server {server.address}"),
            ("listen 127.0.0.1:50050", f"listen {self.address}"),
            ("/tmp/halfstep-nginx", f"{folder}/nginx"),
        ]
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        configuration = folder / "nginx.conf"
        configuration.write_text(text)
        self.process = subprocess.Popen(
            [NGINX, "-c", str(configuration), "-e", str(folder / "error.log"), "-g", "daemon off;"])
        end = time.monotonic() + 20
        while True:
            try:
                host, port = self.address.split(":")
                socket.create_connection((host, int(port)), timeout=1).close()
                return
            except OSError:
                assert time.monotonic() < end and self.process.poll() is None
                time.sleep(0.05)

    def workers(self):
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=20) == 0


@pytest.fixture
def server():
    running = start()
    yield running
    assert running.stop() == 0


@pytest.fixture
def front(server, tmp_path):
    if not os.path.exists(NGINX):
        pytest.skip("nginx is not installed")
    os.chmod(tmp_path, 0o755)
    running = Front(server, tmp_path)
    yield running
    running.stop()


@pytest.mark.parametrize("name", [
    "declared_gigabyte", "gzip_bomb", "rapid_resets", "hpack_dribble", "endless_headers",
    "empty_frames", "settings_flood", "ping_flood", "slow_header"])
def test_attacks_end_at_nginx(server, front, name):
    with Observed(server, front.address, others=front.workers()) as observed:
        getattr(attacks, name)(front.address)
    # The largest message goes through: what declares more is the server's to end.
    ceiling = 300 if name == "declared_gigabyte" else 40
    observed.check(f"{name} through nginx", cpu_max=5, ceiling_mib=ceiling)


def stub_of(address):
    channel = grpc.insecure_channel(address, options=UNLIMITED)
    return channel, load_stubs()[1].QuantizationServiceStub(channel)


@pytest.mark.parametrize("size", [4, 65536, 64 * MIB])
def test_calls_pass(pb, server, front, size):
    reals = np.random.default_rng(1).standard_normal(size // 4).astype("<f4")
    request = pb.QuantizeRequest(
        tensor=pb.Tensor(dtype=1, shape=[size // 4], data=reals.tobytes()), measure_error=True)
    channel, service = stub_of(front.address)
    with channel:
        before = [resident_mib(pid) for pid in front.workers()]
        assert service.Quantize(request, timeout=60) == server.quantization.Quantize(request, timeout=60)
        after = [resident_mib(pid) for pid in front.workers()]
    # It passes through in pieces.
    assert max(b - a for a, b in zip(before, after)) < 20


def test_streams_pass(pb, server, front):
    chunk = np.linspace(-1, 1, 65536, dtype="<f4").tobytes()

    def messages():
        for _ in range(16):
            yield pb.ObserveRequest(tensor=pb.Tensor(dtype=1, shape=[65536], data=chunk))

    channel = grpc.insecure_channel(front.address, options=UNLIMITED)
    with channel:
        calibration = load_stubs()[1].CalibrationServiceStub(channel)
        assert calibration.Observe(messages(), timeout=60) == server.calibration.Observe(messages(), timeout=60)


def test_refusals_pass(pb, front):
    channel, service = stub_of(front.address)
    with channel, pytest.raises(grpc.RpcError) as raised:
        service.Quantize(pb.QuantizeRequest(tensor=pb.Tensor(dtype=1, data=b"abc")), timeout=10)
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "tensor.data" in raised.value.details()


def test_what_nginx_refuses_is_gRPC(pb, server, front):
    channel, service = stub_of(front.address)
    with channel:
        tensor = pb.Tensor(dtype=1, shape=[70 * MIB], data=bytes(280 * MIB))
        with pytest.raises(grpc.RpcError) as raised:
            service.Quantize(pb.QuantizeRequest(tensor=tensor), timeout=60)
        assert raised.value.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=30) == 0
        with pytest.raises(grpc.RpcError) as raised:
            service.GetServerInfo(pb.GetServerInfoRequest(), timeout=10)
        assert raised.value.code() == grpc.StatusCode.UNAVAILABLE



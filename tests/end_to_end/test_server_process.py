"""halfstep-server from outside: flags, addresses, health, reflection, its end."""
import signal
import socket
import threading

import grpc
import health_pb2
import health_pb2_grpc
import numpy as np
import pytest

from server_process import load_stubs, run_server

SERVING = health_pb2.HealthCheckResponse.SERVING
SERVICES = ["halfstep.v1.QuantizationService", "halfstep.v1.CalibrationService"]
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


def ramp(pb, count=1000):
    reals = np.arange(count, dtype="<f4")
    return pb.QuantizeRequest(tensor=pb.Tensor(dtype=1, shape=[count], data=reals.tobytes()))


def test_health(channel):
    health = health_pb2_grpc.HealthStub(channel)
    for service in ["", *SERVICES]:
        assert health.Check(health_pb2.HealthCheckRequest(service=service)).status == SERVING
    with pytest.raises(grpc.RpcError) as raised:
        health.Check(health_pb2.HealthCheckRequest(service="unheard.of"))
    assert raised.value.code() == grpc.StatusCode.NOT_FOUND


def reflect(channel, request):
    return b"".join(channel.stream_stream(REFLECTION)(iter([request])))


def test_reflection(channel):
    # ServerReflectionRequest: list_services is field 7, file_containing_symbol 4.
    listed = reflect(channel, b"\x3a\x00")
    for service in [*SERVICES, "grpc.health.v1.Health"]:
        assert service.encode() in listed
        symbol = service.encode()
        described = reflect(channel, b"\x22" + bytes([len(symbol)]) + symbol)
        assert b".proto" in described and b"not found" not in described.lower()


def test_several_addresses_at_once(pb, start_server, tmp_path):
    path = tmp_path / "halfstep.sock"
    running = start_server(listen=("127.0.0.1:0", f"unix:{path}", "127.0.0.1:0"))
    first, unix, second = running.addresses
    assert unix == f"unix:{path}" and path.is_socket()
    assert first != second and not first.endswith(":0")
    services = load_stubs()[1]
    replies = set()
    for address in running.addresses:
        with grpc.insecure_channel(address) as channel:
            replies.add(services.QuantizationServiceStub(channel).Quantize(ramp(pb)).SerializeToString())
    assert len(replies) == 1


def test_flags_and_variables(pb, start_server):
    def info(*flags, env=None):
        return start_server(*flags, env=env).quantization.GetServerInfo(pb.GetServerInfoRequest())

    assert info("--threads=3").worker_threads == 3
    assert info(env={"HALFSTEP_THREADS": "5"}).worker_threads == 5
    assert info("--threads=3", env={"HALFSTEP_THREADS": "5"}).worker_threads == 3
    assert info("--max-message-bytes=2MiB").max_message_bytes == 2 << 20
    assert info("--max-bytes-in-flight=1GiB").max_bytes_in_flight == 1 << 30
    for target in run_server("--list-simd-targets").stdout.split():
        assert info(env={"HALFSTEP_SIMD_TARGET": target}).simd_target.upper() == target.upper()


@pytest.mark.parametrize(
    "flags, code, fault",
    [
        (["--listen=nowhere"], 2, "--listen: nowhere; must be"),
        (["--threads=many"], 2, "--threads"),
        (["--max-message-bytes=1"], 2, "--max-message-bytes: 1; must be"),
        (["--log-level=loud"], 2, "--log-level: loud; must be"),
        (["--nonsense"], 2, "--nonsense"),
        (["--simd-target=ABACUS"], 2, "ABACUS"),
        (["--listen=unix:/nonexistent/folder/socket"], 1, "unix:/nonexistent/folder/socket: cannot be bound"),
        # An address for documentation (RFC 5737), which no machine has.
        (["--listen=192.0.2.1:80", "--allow-plaintext"], 1, "192.0.2.1:80: cannot be bound"),
    ],
)
def test_a_start_that_fails(flags, code, fault):
    ended = run_server(*flags)
    assert ended.returncode == code
    assert fault in ended.stderr
    assert ended.stderr.startswith("halfstep-server: ") and ended.stderr.count("\n") == 1
    assert ended.stdout == ""


def test_a_port_that_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = run_server(f"--listen={address}")
    assert ended.returncode == 1
    assert ended.stderr == (
        f"halfstep-server: {address}: cannot be bound: Address already in use; must be an address of this machine that is free\n"
    )


def test_help_and_version():
    ended = run_server("--help")
    assert ended.returncode == 0 and "HALFSTEP_MAX_MESSAGE_BYTES" in ended.stdout and "Examples:" in ended.stdout
    ended = run_server("--version")
    assert ended.returncode == 0 and ended.stdout.strip()


def test_one_line_per_call(pb, start_server):
    running = start_server("--log-level=info")
    running.quantization.Quantize(ramp(pb))
    with pytest.raises(grpc.RpcError):
        running.quantization.Quantize(pb.QuantizeRequest())
    assert running.stop() == 0
    # Written after the answer went out, so that their order may be the other.
    answered, refused = sorted(
        (line for line in running.stderr().splitlines() if "peer=" in line), key=lambda line: "status=OK" not in line
    )
    parts = ["QuantizationService/Quantize", "peer=ipv4:127.0.0.1:", "in=40"]
    for part in [*parts, "queue_ms=", "compute_ms=", "status=OK"]:
        assert part in answered, answered
    assert "status=INVALID_ARGUMENT tensor.dtype: " in refused


def test_a_quiet_log(pb, start_server):
    running = start_server("--log-level=error")
    running.quantization.Quantize(ramp(pb))
    assert running.stop() == 0
    assert running.stderr() == ""


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_finishes_what_is_in_flight(pb, start_server, ending):
    running = start_server("--threads=1")
    request = pb.FakeQuantizeRequest(tensor=ramp(pb, 8_000_000).tensor)
    begun = [running.quantization.FakeQuantize.future(request) for _ in range(4)]
    # Done with the first, the server is at work on the others.
    begun[0].result()
    running.process.send_signal(ending)
    for call in begun:
        try:
            assert len(call.result().tensor.data) == 32_000_000
        except grpc.RpcError as error:  # was not taken up yet
            assert error.code() == grpc.StatusCode.UNAVAILABLE
    assert running.process.wait(timeout=60) == 0


def test_told_to_stop_it_refuses_what_is_new(pb, start_server):
    running = start_server()
    results = []

    def call_until_refused():
        channel = running.new_channel()
        stub = load_stubs()[1].QuantizationServiceStub(channel)
        try:
            while True:
                results.append(len(stub.Quantize(ramp(pb)).tensor.codes))
        except grpc.RpcError as error:
            results.append(error.code())

    callers = [threading.Thread(target=call_until_refused) for _ in range(4)]
    for caller in callers:
        caller.start()
    while len(results) < 50:
        assert all(caller.is_alive() for caller in callers), results
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(timeout=60) == 0
    for caller in callers:
        caller.join()
    assert set(results) == {1000, grpc.StatusCode.UNAVAILABLE}
    assert results.count(grpc.StatusCode.UNAVAILABLE) == 4


def test_told_to_stop_while_a_client_hangs(start_server):
    running = start_server("--drain-timeout=0.5")
    never_sent = threading.Event()

    def messages():
        never_sent.wait(30)
        yield b""

    call = running.channel.stream_unary("/halfstep.v1.QuantizationService/Quantize")
    hanging = call.future(messages())
    health = health_pb2_grpc.HealthStub(running.channel)
    health.Check(health_pb2.HealthCheckRequest())
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(timeout=20) == 0
    assert hanging.exception() is not None
    never_sent.set()

"""Bearer tokens from outside: probed, rotated, and never told to anybody."""
import hashlib
import subprocess
import threading
import time

import grpc
import health_pb2
import health_pb2_grpc
import pytest

from certificates import Authority, write_secret
from process_usage import peak_bytes
from server_process import Refusal, binary, load_stubs

ALL = "all-may-be-called-0123456789"
READER = "only-reads-0123456789abcdef"
OLD = "on-its-way-out-0123456789ab"
HASHED = "stands-there-hashed-0123456"
TABLE = f"""
# NAME  METHODS  TOKEN
ops      *                                                              {ALL}
reader   QuantizationService/GetServerInfo,CalibrationService/*         {READER}
hashed\t QuantizationService/* \t sha256:{hashlib.sha256(HASHED.encode()).hexdigest()}
"""
FAST = "--reload-interval=0.1"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
PERMISSION_DENIED = grpc.StatusCode.PERMISSION_DENIED


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "tokens"
    write_secret(path, TABLE.encode())
    return path


@pytest.fixture
def guarded(start_server, table):
    return start_server(f"--token-file={table}", FAST)


def methods():
    """Every method of ours: (name in permissions, path on the wire)."""
    descriptor = load_stubs()[0].DESCRIPTOR
    for service in descriptor.services_by_name.values():
        for method in service.methods:
            yield f"{service.name}/{method.name}", f"/{service.full_name}/{method.name}"


def outcome(channel, path, *credentials, message=b"\xff"):
    """The Refusal of a call that ends in one, as this message always does."""
    call = channel.stream_stream(path)
    metadata = [("authorization", value) for value in credentials]
    try:
        list(call(iter([message]), metadata=metadata, timeout=60))
    except grpc.RpcError as error:
        return Refusal(error)
    return None


def code_of_info(running, *credentials, timeout=60):
    pb = running.messages
    metadata = [("authorization", value) for value in credentials]
    try:
        running.quantization.GetServerInfo(
            pb.GetServerInfoRequest(), metadata=metadata, timeout=timeout
        )
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


WRONG = [
    (),
    ("",),
    ("Bearer",),
    ("Bearer ",),
    (ALL,),
    (f"Basic {ALL}",),
    (f"Bearer  {ALL}",),
    (f"Bearer {ALL[:-1]}",),
    (f"Bearer {ALL}x",),
    (f"Bearer {ALL.upper()}",),
    (f"Bearer {ALL} {READER}",),
    (f"Bearer {ALL},{ALL}",),
    # What stands in the file is not what is sent.
    (f"Bearer sha256:{hashlib.sha256(HASHED.encode()).hexdigest()}",),
    (f"Bearer {hashlib.sha256(HASHED.encode()).hexdigest()}",),
    ("Bearer ops",),
    ("Bearer *",),
    ("Bearer " + "x" * 5000,),
    # Two are none, whichever is right.
    (f"Bearer {ALL}", f"Bearer {ALL}"),
    (f"Bearer {READER}", f"Bearer {ALL}"),
]


@pytest.mark.parametrize("credentials", WRONG)
def test_probes_of_every_method(guarded, credentials):
    for _, path in methods():
        refusal = outcome(guarded.channel, path, *credentials)
        assert refusal.code == UNAUTHENTICATED, path
        assert ALL not in refusal.message and READER not in refusal.message
        assert not refusal.has_retry_info


def test_the_scheme_in_any_case(guarded):
    for scheme in ("Bearer", "bearer", "BEARER"):
        assert code_of_info(guarded, f"{scheme} {ALL}") == grpc.StatusCode.OK
    assert code_of_info(guarded, f"Bearer {READER}") == grpc.StatusCode.OK
    assert code_of_info(guarded, f"Bearer {HASHED}") == grpc.StatusCode.OK


def test_permission_per_method(start_server, tmp_path):
    """Each token, of one method, opens that method and no other."""
    every = list(methods())
    assert len(every) >= 8
    path = tmp_path / "tokens"
    rows = [f"user{i} {name} token-of-user-{i:04}-0123" for i, (name, _) in enumerate(every)]
    write_secret(path, "\n".join(rows).encode())
    running = start_server(f"--token-file={path}")
    for i, (name, _) in enumerate(every):
        for other, wire in every:
            refusal = outcome(running.channel, wire, f"Bearer token-of-user-{i:04}-0123")
            if other == name:
                # Allowed, so that the message is read and found to be none.
                assert refusal is None or refusal.code == grpc.StatusCode.INVALID_ARGUMENT, other
            else:
                assert refusal.code == PERMISSION_DENIED
                assert refusal.message.startswith(f"the token of user{i} does not permit {other};")


def test_reasons_for_programs(guarded):
    from google.rpc import error_details_pb2, status_pb2

    _, path = next(methods())
    for credentials, reason in [((), "UNAUTHENTICATED"), ((f"Bearer {READER}",), "PERMISSION_DENIED")]:
        call = guarded.channel.stream_stream("/halfstep.v1.QuantizationService/Quantize")
        responses = call(iter([b""]), metadata=[("authorization", value) for value in credentials])
        with pytest.raises(grpc.RpcError) as raised:
            list(responses)
        trailers = dict(raised.value.trailing_metadata())
        info = error_details_pb2.ErrorInfo()
        details = status_pb2.Status.FromString(trailers["grpc-status-details-bin"]).details
        assert any(detail.Unpack(info) and info.reason == reason for detail in details)
        # So that gRPC's own retries leave it alone.
        assert trailers["grpc-retry-pushback-ms"] == "-1"


def test_health_is_open_and_reflection_is_off(guarded, start_server, table):
    health = health_pb2_grpc.HealthStub(guarded.channel)
    assert health.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.SERVING
    refusal = outcome(guarded.channel, REFLECTION, message=b"\x3a\x00")
    assert refusal.code == grpc.StatusCode.UNIMPLEMENTED
    assert outcome(guarded.channel, REFLECTION, f"Bearer {ALL}").code == grpc.StatusCode.UNIMPLEMENTED
    for flags in (["--production"], ["--reflection=off"]):
        running = start_server(*flags)
        assert outcome(running.channel, REFLECTION).code == grpc.StatusCode.UNIMPLEMENTED
    assert outcome(start_server().channel, REFLECTION, message=b"\x3a\x00") is None
    ended = subprocess.run(
        [binary("halfstep-server"), f"--token-file={table}", "--reflection=on"],
        capture_output=True, text=True, timeout=60,
    )
    assert ended.returncode == 78 and "--reflection: on contradicts --token-file" in ended.stderr


def test_the_log_names_the_peer_and_never_the_token(guarded):
    pb, services = load_stubs()
    assert code_of_info(guarded) == UNAUTHENTICATED
    assert code_of_info(guarded, "Bearer not-a-token-of-anybody") == UNAUTHENTICATED
    assert code_of_info(guarded, f"Bearer {READER}") == grpc.StatusCode.OK
    refusal = outcome(guarded.channel, "/halfstep.v1.QuantizationService/Quantize", f"Bearer {READER}")
    assert refusal.code == PERMISSION_DENIED
    assert guarded.stop() == 0
    log = guarded.stderr()
    calls = [line for line in log.splitlines() if "GetServerInfo" in line or "Quantize" in line]
    assert len(calls) == 4 and all("ipv4:127.0.0.1:" in line for line in calls), log
    # A line is written when its call is over: not always in the order of the calls.
    unknown = [line for line in calls if "UNAUTHENTICATED" in line]
    refused = [line for line in calls if "PERMISSION_DENIED" in line]
    assert len(unknown) == 2 and len(refused) == 1
    named = [line for line in calls if "reader" in line]
    assert len(named) == 2 and refused[0] in named
    for secret in (ALL, READER, HASHED, "not-a-token-of-anybody"):
        assert secret not in log


def test_a_stranger_s_body_is_not_read(start_server, table):
    running = start_server(f"--token-file={table}", "--threads=1")
    assert code_of_info(running) == UNAUTHENTICATED
    before = peak_bytes(running.process.pid)
    path = "/halfstep.v1.QuantizationService/Quantize"
    message = bytes(200 << 20)

    def knock():
        with running.new_channel() as channel:
            assert outcome(channel, path, message=message).code == UNAUTHENTICATED

    knocks = [threading.Thread(target=knock) for _ in range(4)]
    for each in knocks:
        each.start()
    for each in knocks:
        each.join()
    # Of 800 MiB, what fits into windows and sockets' buffers.
    assert peak_bytes(running.process.pid) - before < 64 << 20
    assert running.stop() == 0
    lines = [line for line in running.stderr().splitlines() if "Service/Quantize" in line]
    assert len(lines) == 4 and all(" in=0 " in line for line in lines)


def await_code(running, wanted, credentials):
    end = time.monotonic() + 30
    while code_of_info(running, credentials) != wanted:
        assert time.monotonic() < end, f"still not {wanted}"
        time.sleep(0.05)


def test_rotated_without_a_call_lost(start_server, table):
    """The old token, both, the new one: each step as operators do it."""
    write_secret(table, f"trainer QuantizationService/* {OLD}\n".encode())
    running = start_server(f"--token-file={table}", FAST, "--log-level=error")
    current = [OLD]
    over = threading.Event()
    codes = []

    def call():
        while not over.is_set():
            codes.append(code_of_info(running, f"Bearer {current[0]}"))

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for i in range(5):
        new = f"rotated-token-{i}-0123456789"
        both = f"trainer QuantizationService/* {current[0]}\ntrainer QuantizationService/* {new}\n"
        write_secret(table, both.encode())
        await_code(running, grpc.StatusCode.OK, f"Bearer {new}")
        old, current[0] = current[0], new
        # Calls that were begun with the old one are over before it is gone.
        time.sleep(0.2)
        write_secret(table, f"trainer QuantizationService/* {new}\n".encode())
        await_code(running, UNAUTHENTICATED, f"Bearer {old}")
    over.set()
    for caller in callers:
        caller.join()
    assert len(codes) > 100 and set(codes) == {grpc.StatusCode.OK}


FAULTS = [
    ("", "empty"),
    ("# nobody\n", "no token; must have at least one"),
    (f"ops {ALL}\n", "line 1: 2 words; must be NAME METHODS TOKEN"),
    (f"ops * {ALL} more\n", "line 1: 4 words"),
    ("\nops * short\n", "line 2: no token; must be 16 to 4096"),
    ("ops * 0123456789abcdef\xe4\n", "line 1: no token"),
    (f"ops QuantizationService/Nothing {ALL}\n", "line 1: methods of ops: this server has none of that name"),
    (f"ops Quantize {ALL}\n", "line 1: methods of ops"),
    (f"ops *,Nothing/* {ALL}\n", "line 1: methods of ops"),
    (f"ops */Quantize {ALL}\n", "line 1: methods of ops"),
    # Words in the wrong order, which must not get into the message.
    (f"ops {ALL} *\n", "line 1: methods of ops"),
    (f"{ALL}! ops *\n", "line 1: no name"),
    (f"a * {ALL}\nb * {ALL}\n", "line 2: the token of a line above"),
    ("ops * sha256:00\n", "line 1: no digest"),
    ("ops * sha256:" + "g" * 64 + "\n", "line 1: no digest"),
]


@pytest.mark.parametrize("text, fault", FAULTS)
def test_bad_tables(start_server, table, text, fault):
    running = start_server(f"--token-file={table}", FAST)
    write_secret(table, text.encode("latin-1"))
    end = time.monotonic() + 30
    while fault not in running.stderr():
        assert time.monotonic() < end, running.stderr()
        time.sleep(0.05)
    assert code_of_info(running, f"Bearer {ALL}") == grpc.StatusCode.OK
    assert code_of_info(running) == UNAUTHENTICATED
    assert running.stderr().count("tokens: not reloaded") == 1 and ALL not in running.stderr()
    ended = subprocess.run(
        [binary("halfstep-server"), "--listen=127.0.0.1:0", f"--token-file={table}"],
        capture_output=True, text=True, timeout=60,
    )
    assert ended.returncode == 78 and ended.stderr.count("\n") == 1
    assert ended.stderr.startswith(f"halfstep-server: --token-file: {table}: ")
    assert fault in ended.stderr and ALL not in ended.stderr


def test_a_table_that_anybody_can_read(table):
    table.chmod(0o644)
    ended = subprocess.run(
        [binary("halfstep-server"), "--listen=127.0.0.1:0", f"--token-file={table}"],
        capture_output=True, text=True, timeout=60,
    )
    assert ended.returncode == 78 and "mode 0644, open to others" in ended.stderr


def run_client(*arguments):
    return subprocess.run(
        [binary("halfstep"), *arguments], capture_output=True, text=True, timeout=120
    )


def test_the_command_line_client(start_server, table, tmp_path):
    authority = Authority()
    certificate, key = authority.server().write(tmp_path, "server")
    (tmp_path / "ca.crt").write_bytes(authority.pem)
    token = tmp_path / "token"
    write_secret(token, f"{ALL}\n".encode())
    running = start_server(
        f"--token-file={table}", f"--tls-cert={certificate}", f"--tls-key={key}",
        listen=("127.0.0.1:0", f"unix:{tmp_path}/socket", "[::1]:0"),
    )
    tls = f"--tls-ca={tmp_path}/ca.crt"
    for address in running.addresses:
        ended = run_client("demo", f"--server={address}", tls, f"--token-file={token}")
        assert ended.returncode == 0, ended.stderr
        ended = run_client("info", f"--server={address}", tls)
        assert ended.returncode == 1 and "authorization: none" in ended.stderr
        assert run_client("health", f"--server={address}", tls).returncode == 0
    # As docs/security.md has it for Python.
    pb, services = load_stubs()
    credentials = grpc.composite_channel_credentials(
        grpc.ssl_channel_credentials((tmp_path / "ca.crt").read_bytes()),
        grpc.access_token_call_credentials(token.read_text().strip()),
    )
    with grpc.secure_channel(running.address, credentials) as channel:
        services.QuantizationServiceStub(channel).GetServerInfo(pb.GetServerInfoRequest())
    server = f"--server={running.address}"
    ended = run_client("load", server, tls, f"--token-file={token}", "--duration=1s")
    assert ended.returncode == 0, ended.stderr
    write_secret(token, READER.encode())
    ended = run_client("demo", server, tls, f"--token-file={token}")
    assert ended.returncode == 1 and "does not permit" in ended.stderr
    assert READER not in ended.stderr


def test_a_token_without_tls_stays_on_this_machine(guarded, tmp_path):
    token = tmp_path / "token"
    write_secret(token, ALL.encode())
    assert run_client("info", f"--server={guarded.address}", f"--token-file={token}").returncode == 0
    # An address for documentation (RFC 5737): nothing may be sent there.
    ended = run_client("info", "--server=192.0.2.1:50051", f"--token-file={token}")
    assert ended.returncode == 2 and "--tls-ca" in ended.stderr and ended.stderr.count("\n") == 1
    for text, fault in [(b"", "no token"), (b"two words", "no token"), (b"\x00\n", "no token")]:
        write_secret(token, text)
        ended = run_client("info", f"--server={guarded.address}", f"--token-file={token}")
        assert ended.returncode == 3 and fault in ended.stderr
    write_secret(token, ALL.encode(), mode=0o644)
    ended = run_client("info", f"--server={guarded.address}", f"--token-file={token}")
    assert ended.returncode == 3 and "mode 0644" in ended.stderr

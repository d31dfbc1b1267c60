"""TLS from outside: who can connect, what is refused, and certificates that change under load."""
import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time

import grpc
import pytest
from cryptography import x509

from certificates import Authority, write_secret
from server_process import UNLIMITED, binary, load_stubs

# Long enough for several looks of a server that looks every 0.1 s, on a machine
# that others use.
NOTICED_SECONDS = 30
FAST = "--reload-interval=0.1"


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture
def files(authority, tmp_path):
    """A folder with ca.crt, and server.crt with its server.key."""
    (tmp_path / "ca.crt").write_bytes(authority.pem)
    authority.server().write(tmp_path, "server")
    return tmp_path


def tls_flags(folder, *more, look=FAST):
    return [f"--tls-cert={folder}/server.crt", f"--tls-key={folder}/server.key", look, *more]


def channel_to(address, ca, client=None):
    """A channel of its own that trusts `ca` alone."""
    credentials = grpc.ssl_channel_credentials(
        ca, client and client.key_pem, client and client.certificate_pem
    )
    return grpc.secure_channel(
        address, credentials, options=UNLIMITED + [("grpc.use_local_subchannel_pool", 1)]
    )


def threads_of(address, ca, client=None):
    """A call over a connection of its own: the server's worker_threads."""
    pb, services = load_stubs()
    with channel_to(address, ca, client) as channel:
        stub = services.QuantizationServiceStub(channel)
        return stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=60).worker_threads


def is_refused(address, ca, client=None):
    try:
        threads_of(address, ca, client)
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.UNAVAILABLE
        return True
    return False


def handshake(address, **settings):
    """(serial number of the certificate, TLS version, cipher, protocol by ALPN)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    for name, value in settings.items():
        setattr(context, name, value)
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=30) as plain:
        with context.wrap_socket(plain) as encrypted:
            serial = x509.load_der_x509_certificate(encrypted.getpeercert(True)).serial_number
            return serial, encrypted.version(), encrypted.cipher()[0], encrypted.selected_alpn_protocol()


def await_serial(address, serial):
    end = time.monotonic() + NOTICED_SECONDS
    while handshake(address)[0] != serial:
        assert time.monotonic() < end, "the new certificate was not taken up"
        time.sleep(0.05)


def await_log(running, text, count=1):
    end = time.monotonic() + NOTICED_SECONDS
    while running.stderr().count(text) < count:
        assert time.monotonic() < end, f"not logged: {text}\n{running.stderr()}"
        time.sleep(0.05)


def run_server(*flags):
    """Runs a server that is expected to end by itself."""
    return subprocess.run(
        [binary("halfstep-server"), "--listen=127.0.0.1:0", *flags],
        capture_output=True,
        text=True,
        timeout=60,
    )


def run_client(*arguments):
    return subprocess.run(
        [binary("halfstep"), *map(str, arguments)], capture_output=True, text=True, timeout=120
    )


def test_versions_ciphers_and_http2(files, start_server):
    running = start_server("--threads=3", *tls_flags(files))
    assert threads_of(running.address, (files / "ca.crt").read_bytes()) == 3
    for version, name in [(ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")]:
        _, spoken, cipher, protocol = handshake(
            running.address, minimum_version=version, maximum_version=version
        )
        assert (spoken, protocol) == (name, "h2")
        assert "GCM" in cipher or "CHACHA20" in cipher


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_old_versions_are_refused(files, start_server, version):
    running = start_server(*tls_flags(files))
    # At this level OpenSSL itself would still speak them.
    spoken = subprocess.run(
        ["openssl", "s_client", "-connect", running.address, version, "-cipher", "ALL:@SECLEVEL=0"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert spoken.returncode != 0 and "BEGIN CERTIFICATE" not in spoken.stdout
    assert "no protocols available" not in spoken.stderr, "the client did not even try"


def test_plaintext_is_no_way_in(files, start_server):
    running = start_server(*tls_flags(files))
    with pytest.raises(grpc.RpcError) as raised:
        running.quantization.GetServerInfo(running.messages.GetServerInfoRequest(), timeout=60)
    assert raised.value.code() == grpc.StatusCode.UNAVAILABLE


def test_unix_sockets_stay_plaintext(files, start_server):
    path = f"unix:{files}/socket"
    running = start_server(*tls_flags(files), listen=("127.0.0.1:0", path))
    pb, services = load_stubs()
    with grpc.insecure_channel(path) as channel:
        services.QuantizationServiceStub(channel).GetServerInfo(pb.GetServerInfoRequest())
    assert threads_of(running.address, (files / "ca.crt").read_bytes()) > 0


def test_clients_without_the_right_certificate(authority, files, start_server):
    running = start_server(*tls_flags(files, f"--tls-client-ca={files}/ca.crt"))
    ca = (files / "ca.crt").read_bytes()
    assert threads_of(running.address, ca, authority.client()) > 0
    assert is_refused(running.address, ca)
    assert is_refused(running.address, ca, Authority("Somebody").client())
    assert is_refused(running.address, ca, authority.client(days=(-3, -1)))
    # Still there for who is welcome.
    assert threads_of(running.address, ca, authority.client()) > 0


def test_an_authority_of_clients_is_replaced(authority, files, start_server):
    other = Authority("Next CA")
    (files / "clients.crt").write_bytes(authority.pem)
    running = start_server(*tls_flags(files, f"--tls-client-ca={files}/clients.crt"))
    ca = (files / "ca.crt").read_bytes()
    assert is_refused(running.address, ca, other.client())
    (files / "clients.crt").write_bytes(other.pem)
    await_log(running, "certificates: reloaded")
    assert threads_of(running.address, ca, other.client()) > 0
    assert is_refused(running.address, ca, authority.client())


def no_key(folder):
    (folder / "server.key").write_bytes(b"nothing\n")


def no_certificate(folder):
    (folder / "server.crt").write_bytes(b"nothing\n")


def half_a_certificate(folder):
    text = (folder / "server.crt").read_bytes()
    (folder / "server.crt").write_bytes(text + text[: len(text) // 2])


def open_key(folder):
    (folder / "server.key").chmod(0o644)


def writable_key(folder):
    (folder / "server.key").chmod(0o620)


def missing_key(folder):
    (folder / "server.key").unlink()


def empty_key(folder):
    (folder / "server.key").write_bytes(b"")


def key_that_is_a_folder(folder):
    (folder / "server.key").unlink()
    (folder / "server.key").mkdir()


def encrypted_key(folder):
    subprocess.run(
        ["openssl", "pkcs8", "-topk8", "-in", "server.key", "-out", "locked.key", "-passout", "pass:x"],
        cwd=folder, check=True, capture_output=True,
    )
    write_secret(folder / "server.key", (folder / "locked.key").read_bytes())


def mismatch(folder):
    write_secret(folder / "server.key", Authority().server().key_pem)


def expired(folder):
    Authority().server(days=(-30, -1)).write(folder, "server")


def not_yet_valid(folder):
    Authority().server(days=(1, 30)).write(folder, "server")


FAULTS = [
    (no_key, "--tls-key", "no private key"),
    (no_certificate, "--tls-cert", "no certificate"),
    (half_a_certificate, "--tls-cert", "a certificate that cannot be read"),
    (open_key, "--tls-key", "mode 0644, open to others"),
    (writable_key, "--tls-key", "mode 0620, open to others"),
    (missing_key, "--tls-key", "No such file"),
    (empty_key, "--tls-key", "empty"),
    (key_that_is_a_folder, "--tls-key", "no regular file"),
    (encrypted_key, "--tls-key", "without a pass phrase"),
    (mismatch, "--tls-key", "does not fit the certificate"),
    (expired, "--tls-cert", "CN=localhost expired at"),
    (not_yet_valid, "--tls-cert", "is not valid before"),
]


@pytest.mark.parametrize("spoil, flag, fault", FAULTS)
def test_bad_files_are_refused_at_start(files, spoil, flag, fault):
    spoil(files)
    for more in ([], ["--check-config"]):
        ended = run_server(*tls_flags(files), *more)
        assert ended.returncode == 78, ended.stderr
        assert ended.stderr.startswith(f"halfstep-server: {flag}: {files}/server.")
        assert fault in ended.stderr and "; must " in ended.stderr
        assert ended.stderr.count("\n") == 1 and ended.stdout == ""


@pytest.mark.parametrize("spoil, flag, fault", FAULTS)
def test_bad_replacements_keep_the_old(authority, files, start_server, spoil, flag, fault):
    ca = authority.pem
    running = start_server("--threads=3", *tls_flags(files))
    before = handshake(running.address)[0]
    spoil(files)
    await_log(running, fault)
    assert handshake(running.address)[0] == before
    assert threads_of(running.address, ca) == 3
    # Said once, however often it is looked at.
    time.sleep(0.5)
    log = running.stderr()
    assert log.count("certificates: not reloaded") == 1, log
    assert "PRIVATE KEY" not in log
    # And it is taken up once it is good.
    with contextlib.suppress(OSError):
        os.rmdir(files / "server.key")
    good = authority.server()
    good.write(files, "server")
    await_serial(running.address, good.serial)
    assert threads_of(running.address, ca) == 3


def test_sighup_reloads_at_once(authority, files, start_server):
    running = start_server(*tls_flags(files, look="--reload-interval=inf"))
    good = authority.server()
    good.write(files, "server")
    time.sleep(0.5)
    assert handshake(running.address)[0] != good.serial
    running.process.send_signal(signal.SIGHUP)
    await_serial(running.address, good.serial)


def test_files_behind_a_link_that_turns(authority, files, start_server):
    """As Kubernetes replaces a mounted secret: ..data is a link to a folder."""
    for version in ("first", "second"):
        (files / version).mkdir()
    pairs = [authority.server(), authority.server()]
    pairs[0].write(files / "first", "server")
    pairs[1].write(files / "second", "server")
    data = files / "..data"
    data.symlink_to("first")
    running = start_server(*tls_flags(data))
    assert handshake(running.address)[0] == pairs[0].serial
    (files / "..data_tmp").symlink_to("second")
    os.replace(files / "..data_tmp", data)
    await_serial(running.address, pairs[1].serial)


def test_rotated_under_load_no_call_is_lost(authority, files, start_server):
    running = start_server(*tls_flags(files, "--log-level=error"))
    over = threading.Event()
    calls, lost = [], []

    def call(is_new_each_time):
        pb, services = load_stubs()
        request = pb.QuantizeRequest(tensor=pb.Tensor(dtype=1, shape=[256], data=bytes(1024)))
        channel = channel_to(running.address, authority.pem)
        while not over.is_set():
            try:
                stub = services.QuantizationServiceStub(channel)
                # Without retries: one that is lost is seen.
                assert len(stub.Quantize(request, timeout=60).tensor.codes) == 256
                calls.append(is_new_each_time)
            except grpc.RpcError as error:
                lost.append(error)
            if is_new_each_time:
                channel.close()
                channel = channel_to(running.address, authority.pem)
        channel.close()

    callers = [threading.Thread(target=call, args=(i % 2 == 0,)) for i in range(6)]
    load = subprocess.Popen(
        [binary("halfstep"), "load", f"--server={running.address}", f"--tls-ca={files}/ca.crt",
         "--duration=4s", "--warmup=0s", "--concurrency=4", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    for caller in callers:
        caller.start()
    seen = {handshake(running.address)[0]}
    for _ in range(10):
        pair = authority.server()
        # One file after the other, as certbot and people do it.
        (files / "server.crt").write_bytes(pair.certificate_pem)
        time.sleep(0.02)
        write_secret(files / "server.key", pair.key_pem)
        await_serial(running.address, pair.serial)
        seen.add(pair.serial)
    printed, complaint = load.communicate(timeout=120)
    over.set()
    for caller in callers:
        caller.join()
    assert not lost, f"{len(lost)} lost of {len(calls)}: {lost[0]}"
    # Both kinds of callers took part, and every certificate was in use.
    assert calls.count(True) > 20 and calls.count(False) > 100 and len(seen) == 11
    assert load.returncode == 0, complaint
    step = json.loads(printed)["steps"][0]
    assert step["failed"] == 0 and step["errors"] == {} and step["ok"] == step["calls"] > 100


def test_plaintext_for_other_machines_needs_a_word(files, start_server):
    for address in ("0.0.0.0:0", "[::]:0", "127.example.org:0"):
        ended = run_server(f"--listen={address}")
        assert ended.returncode == 78 and ended.stderr.count("\n") == 1
        assert f"{address}: plaintext" in ended.stderr
        assert "--tls-cert" in ended.stderr and "--allow-plaintext" in ended.stderr
    start_server("--allow-plaintext", listen=("0.0.0.0:0",))
    start_server(*tls_flags(files), listen=("0.0.0.0:0",))


@pytest.mark.parametrize(
    "flags, fault",
    [
        (["--allow-plaintext"], "--allow-plaintext: contradicts --production"),
        (["--reflection=on"], "--reflection: on contradicts --production"),
        (["--listen=0.0.0.0:0"], "plaintext that other machines can reach; must have --tls-cert"),
    ],
)
def test_production_refuses_what_is_for_trying_out(flags, fault):
    ended = run_server("--production", *flags)
    assert ended.returncode == 78 and fault in ended.stderr and ended.stderr.count("\n") == 1
    assert "or --allow-plaintext" not in ended.stderr


def test_production_wants_to_know_callers_from_elsewhere(files, start_server):
    flags = tls_flags(files, "--production")
    ended = run_server(*flags, "--listen=0.0.0.0:0")
    assert ended.returncode == 78 and "--token-file or --tls-client-ca" in ended.stderr
    start_server(*flags)
    start_server(*flags, f"--tls-client-ca={files}/ca.crt", listen=("0.0.0.0:0",))


@pytest.mark.parametrize(
    "flags, fault",
    [
        (["--tls-cert=server.crt"], "--tls-cert: without a key"),
        (["--tls-key=server.key"], "--tls-key: without a certificate"),
        (["--tls-client-ca=ca.crt"], "--tls-client-ca: without TLS"),
    ],
)
def test_half_a_configuration(flags, fault):
    ended = run_server(*flags)
    assert ended.returncode == 78 and fault in ended.stderr and ended.stderr.count("\n") == 1


def test_the_command_line_client(authority, files, start_server):
    running = start_server(*tls_flags(files, f"--tls-client-ca={files}/ca.crt"))
    authority.client().write(files, "client")
    own = [f"--tls-cert={files}/client.crt", f"--tls-key={files}/client.key"]
    server = f"--server={running.address}"
    ended = run_client("info", server, f"--tls-ca={files}/ca.crt", *own)
    assert ended.returncode == 0 and "threads" in ended.stdout
    assert run_client("health", server, f"--tls-ca={files}/ca.crt", *own).stdout == "SERVING\n"
    ended = run_client("health", server, f"--tls-ca={files}/ca.crt")
    assert ended.returncode == 4 and ended.stderr.count("\n") == 1
    (files / "client.key").chmod(0o644)
    ended = run_client("health", server, f"--tls-ca={files}/ca.crt", *own)
    assert ended.returncode == 3 and "mode 0644" in ended.stderr
    ended = run_client("health", server, f"--tls-ca={files}/ca.crt", own[0])
    assert ended.returncode == 2 and "--tls-key" in ended.stderr


@contextlib.contextmanager
def tls_listener(pair, folder):
    """The address of somebody who does handshakes with `pair`, and no more."""
    certificate, key = pair.write(folder, "listener")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["h2"])
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        with contextlib.suppress(OSError):
            while True:
                connection = listener.accept()[0]
                with contextlib.suppress(OSError, ssl.SSLError):
                    context.wrap_socket(connection, server_side=True).close()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.mark.parametrize(
    "make, fault",
    [
        (lambda authority: Authority("Stranger").server(), "unable to get local issuer"),
        (lambda authority: authority.server(days=(-30, -1)), "expired"),
        (lambda authority: authority.server(days=(1, 30)), "not yet valid"),
        (lambda authority: authority.server(hosts=("example.org",)), "127.0.0.1.*is for another name"),
    ],
)
def test_the_client_says_why_it_refuses_a_server(authority, tmp_path, make, fault):
    (tmp_path / "ca.crt").write_bytes(authority.pem)
    with tls_listener(make(authority), tmp_path) as address:
        ended = run_client("info", f"--server={address}", f"--tls-ca={tmp_path}/ca.crt")
    assert ended.returncode == 4, ended
    assert ended.stderr.count("\n") == 1 and "certificate" in ended.stderr
    assert re.search(fault, ended.stderr), ended.stderr

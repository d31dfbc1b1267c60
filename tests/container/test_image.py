"""The image, and a container of it under the limits that it is given."""

import json
import re
import subprocess
import threading

import grpc
import numpy as np
import pytest

import ledger as ledgers
from engine import BASE, IMAGE, Container, docker, inspect, wait_until

ADDED_BYTES_MAX = 60_000_000
MIB = 1 << 20


def shell(command):
    return docker("run", "--rm", "--entrypoint=sh", IMAGE, "-c", command)


def stub(address, credentials=None, **options):
    if credentials is None:
        return ledgers.services.QuantizationServiceStub(ledgers.channel_to(address))
    channel = grpc.secure_channel(address, credentials, **options)
    return ledgers.services.QuantizationServiceStub(channel)


def assert_right(service, count=5):
    for request, wanted in ledgers.make_cases(count=count):
        reply = service.Quantize(request, timeout=20)
        assert reply.SerializeToString(deterministic=True) == wanted.SerializeToString(
            deterministic=True)


def test_size_and_settings():
    added = inspect(IMAGE)["Size"] - inspect(BASE)["Size"]
    print(f"\nthe image is {inspect(IMAGE)['Size'] / 1e6:.1f} MB, {added / 1e6:.1f} above its base")
    assert added < ADDED_BYTES_MAX
    config = inspect(IMAGE)["Config"]
    assert config["User"] == "10001:10001"
    assert config["StopSignal"] == "SIGTERM"
    assert config["Healthcheck"]["Test"][:3] == ["CMD", "halfstep", "health"]
    labels = config["Labels"]
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert re.fullmatch(r"[0-9a-f]{40}", labels["org.opencontainers.image.revision"])
    assert re.match(r"\d{4}-\d\d-\d\dT", labels["org.opencontainers.image.created"])


def test_nothing_that_it_does_not_need():
    for program in ["cc", "gcc", "g++", "c++", "clang", "make", "ninja", "cmake", "python3",
                    "curl", "wget", "git"]:
        assert shell(f"command -v {program} || true") == "", program
    installed = shell("dpkg-query -W -f '${Package}\\n'").splitlines()
    assert not [name for name in installed if name.endswith("-dev")]
    # Nothing is set-user-id beyond what the base has.
    find = "find / -xdev -type f -perm /6000 | sort"
    base = docker("run", "--rm", BASE, "sh", "-c", find)
    assert shell(find) == base


def test_bill_of_materials():
    bill = json.loads(shell("cat /usr/share/sbom/halfstep.spdx.json"))
    assert bill["spdxVersion"] == "SPDX-2.3"
    contained = {relation["relatedSpdxElement"] for relation in bill["relationships"]
                 if relation["relationshipType"] == "CONTAINS"}
    packages = {f"{p['name']} {p['versionInfo']}" for p in bill["packages"]
                if p["SPDXID"] in contained}
    installed = set(shell("dpkg-query -W -f '${Package} ${Version}\\n'").splitlines())
    assert packages == installed
    for file in bill["files"]:
        digest = shell(f"sha256sum /{file['fileName'].lstrip('./')}").split()[0]
        assert {"algorithm": "SHA256", "checksumValue": digest} in file["checksums"]
    identifiers = [p["SPDXID"] for p in bill["packages"]]
    assert len(identifiers) == len(set(identifiers))


def test_no_security_update_is_missing():
    pending = docker("run", "--rm", "--network=none", "--entrypoint=sh", "--user=0", IMAGE, "-c",
                     "dpkg --audit && dpkg-query -W -f '${db:Status-Abbrev}\\n' | sort -u")
    assert set(pending.split()) == {"ii"}


def test_a_call_from_outside(run_container):
    container = run_container(*Container.HARDENED).wait_healthy()
    service = stub(container.address)
    assert_right(service)
    assert service.GetServerInfo(ledgers.pb.GetServerInfoRequest(), timeout=20).version
    # Neither root nor able to write.
    assert container.execute("id", "-u") == "10001"
    assert "Read-only file system" in container.execute("touch", "/usr/new", check=False)
    assert "halfstep-server" in container.execute("cat", "/proc/1/cmdline")
    assert container.state()["Health"]["FailingStreak"] == 0


def test_takes_its_size_from_the_limits_of_the_container(run_container):
    container = run_container(
        *Container.HARDENED, "--memory=512m", "--memory-swap=512m", "--cpus=0.5",
        "--env=HALFSTEP_MAX_MESSAGE_BYTES=32MiB").wait_healthy()
    service = stub(container.address)
    info = service.GetServerInfo(ledgers.pb.GetServerInfoRequest(), timeout=20)
    assert info.max_bytes_in_flight == 256 * MIB
    assert info.worker_threads == 1
    before = container.state()
    # 24 callers with 16 MiB each: more than the container has, were all let in.
    reals = np.linspace(-1, 1, 4 * MIB, dtype="<f4")
    request = ledgers.pb.QuantizeRequest(tensor=ledgers.pb.Tensor(
        dtype=ledgers.pb.DATA_TYPE_FLOAT32, shape=reals.shape, data=reals.tobytes()))
    wanted = service.Quantize(request, timeout=60).tensor.codes
    ends = []

    def call():
        for _ in range(2):
            try:
                reply = service.Quantize(request, timeout=120)
                ends.append("right" if reply.tensor.codes == wanted else "wrong")
            except grpc.RpcError as error:
                ends.append(error.code().name)

    threads = [threading.Thread(target=call) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"\n512 MiB: {({end: ends.count(end) for end in set(ends)})}")
    assert "wrong" not in ends and ends.count("right") > 0
    assert set(ends) <= {"right", "RESOURCE_EXHAUSTED"}
    after = container.state()
    assert after["Running"] and not after["OOMKilled"] and after["Pid"] == before["Pid"]
    assert_right(service, 2)


def test_a_container_too_small_says_so(run_container):
    container = run_container("--memory=64m", "--memory-swap=64m")
    assert container.wait() != 0
    assert "--max-message-bytes" in container.logs()


def test_sigterm_under_load_loses_no_answer(run_container):
    container = run_container(*Container.HARDENED).wait_healthy()
    # Without retries: what the server did shows.
    ledger = ledgers.Ledger(container.address, callers=8, channels=4, retries=False).start()
    ledger.wait_for(500)
    container.signal("TERM")
    code = container.wait()
    summary = ledger.stop()
    print(f"\nSIGTERM: {summary}")
    assert code == 0 and not container.state()["OOMKilled"]
    assert summary["wrong"] == 0 and summary["missing"] == 0
    assert set(summary["failed"]) <= {"UNAVAILABLE"}
    answered = set(re.findall(r"request_id\W+([\w-]+).*status\W+OK", container.logs()))
    assert answered == ledger.right_ids()


def test_plaintext_is_said_aloud(run_container):
    container = run_container(arguments=["--threads=1"])
    assert container.wait() != 0
    assert "--allow-plaintext" in container.logs()


@pytest.fixture
def certificate(tmp_path):
    """A folder with cert.pem and key.pem that only the image's user may read."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "1", "-subj", "/CN=halfstep.test", "-addext",
         "subjectAltName=DNS:halfstep.test", "-keyout", tmp_path / "key.pem", "-out",
         tmp_path / "cert.pem"],
        check=True, capture_output=True)
    subprocess.run(["chown", "-R", "10001:10001", tmp_path], check=True)
    subprocess.run(["chmod", "0400", tmp_path / "key.pem"], check=True)
    return tmp_path


def test_tls_and_health(run_container, certificate):
    container = run_container(
        *Container.HARDENED, f"--volume={certificate}:/tls:ro",
        arguments=["--tls-cert=/tls/cert.pem", "--tls-key=/tls/key.pem"]).wait_healthy()
    credentials = grpc.ssl_channel_credentials((certificate / "cert.pem").read_bytes())
    options = [("grpc.ssl_target_name_override", "halfstep.test")]
    assert_right(stub(container.address, credentials, options=options), 2)
    with pytest.raises(grpc.RpcError) as raised:
        assert_right(stub(container.address), 1)
    assert raised.value.code() == grpc.StatusCode.UNAVAILABLE


def test_a_server_that_is_stuck_is_unhealthy(run_container):
    container = run_container("--health-interval=1s", "--health-retries=2").wait_healthy()
    container.signal("STOP")
    wait_until(lambda: container.state()["Health"]["Status"] == "unhealthy", "unhealthy", 30)
    container.signal("CONT")
    container.wait_healthy()

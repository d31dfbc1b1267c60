"""testssl.sh against a running server: protocols, ciphers, known weaknesses."""
import json
import shutil
import subprocess

import pytest

from certificates import Authority

HARMLESS = {"OK", "INFO", "LOW", "DEBUG"}
# Findings that are no fault of the server, with the reason.
EXPECTED = {
    # The test's own authority has neither of the ways to revoke a certificate,
    # and no log of transparency.
    "cert_revocation": "an authority made for one test",
    "cert_ocspURL": "an authority made for one test",
    "cert_crlDistributionPoints": "an authority made for one test",
    # gRPC lets the client choose among its suites. All of them are ECDHE with AEAD, and
    # among such Mozilla's recommendations leave the choice to clients, too, which know
    # whether they have AES in hardware: https://wiki.mozilla.org/Security/Server_Side_TLS.
    "cipher_order": "nothing weak to choose",
    # About the program that looks, not about what it looks at.
    "engine_problem": "no GOST in Debian's openssl",
    # Is asked for by its address: there is no name to ask CAA records for.
    "DNS_CAArecord": "no name in DNS",
}
# Looks that testssl.sh could not take, with the reason; what it finds when it can, counts.
UNSEEN = {
    # It resumes with the ticket of a connection that it closed at once, though TLS 1.3
    # sends tickets after the handshake: whether there is one is a matter of time.
    "sessionresumption_ticket": "check failed because of connect problem",
}
# Of each of these there must be a finding, or nothing was looked at.
LOOKED_AT = ["SSLv3", "TLS1", "TLS1_1", "TLS1_2", "TLS1_3", "heartbleed", "ROBOT", "SWEET32",
             "LOGJAM", "RC4", "secure_renego", "cipherlist_NULL", "cipherlist_3DES_IDEA"]


@pytest.fixture
def findings(start_server, tmp_path):
    """What testssl.sh found, by its names for it."""
    program = shutil.which("testssl") or shutil.which("testssl.sh")
    if program is None:
        pytest.skip("no testssl: install Debian's testssl.sh")
    authority = Authority()
    (tmp_path / "ca.crt").write_bytes(authority.pem)
    certificate, key = authority.server().write(tmp_path, "server")
    running = start_server(f"--tls-cert={certificate}", f"--tls-key={key}")
    report = tmp_path / "report.json"
    ended = subprocess.run(
        [program, "--quiet", "--color=0", "--warnings=off", "--nodns=none",
         "--connect-timeout=5", "--openssl-timeout=5", f"--add-ca={tmp_path}/ca.crt",
         "--protocols", "--std", "--pfs", "--server-preference", "--server-defaults",
         "--vulnerable", f"--jsonfile={report}", running.address],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=800,
    )
    assert report.exists(), ended.stdout[-3000:] + ended.stderr[-3000:]
    return {finding["id"]: finding for finding in json.loads(report.read_text())}


def test_nothing_that_matters_is_found(findings):
    bad = {
        name: (finding["severity"], finding["finding"])
        for name, finding in findings.items()
        if finding["severity"] not in HARMLESS
        and name not in EXPECTED
        and UNSEEN.get(name) != finding["finding"]
    }
    assert not bad, bad
    missing = [name for name in LOOKED_AT if name not in findings]
    assert not missing, sorted(findings)
    offered = {name: findings[name]["finding"] for name in LOOKED_AT[:5]}
    for version in ("SSLv3", "TLS1", "TLS1_1"):
        assert offered[version].startswith("not offered"), offered
    for version in ("TLS1_2", "TLS1_3"):
        assert offered[version].startswith("offered"), offered

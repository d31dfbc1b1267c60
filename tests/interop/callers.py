"""Runs every example against the server, and against servers that do something wrong;
and grpcurl, as docs/clients.md shows it.

usage: callers.py [LANGUAGE|grpcurl...]

Prints a table. Exits 1 if an example failed, or did not notice what it must notice.
A language whose tools are missing is skipped, but not where CI=true.
"""
import json
import os
import re
import subprocess
import sys
import time

from languages import LANGUAGES, ROOT

sys.path.insert(0, str(ROOT / "tests" / "end_to_end"))
import server_process  # noqa: E402

server_process.load_stubs()
import faulty_server  # noqa: E402
import grpcurl  # noqa: E402

GOLDEN = ROOT / "tests" / "golden"
RUN_TIMEOUT_SECONDS = 120
# How often an example calls, at most, while the server stays busy.
ATTEMPTS = 5


class Unexpected(Exception):
    """What an example did that it should not have done, or the reverse."""


def golden_counts():
    """How many cases there are, and how many of them are answered with a payload."""
    files = [json.loads(path.read_text()) for path in GOLDEN.glob("*.json")]
    cases = [case for file in files for case in file["cases"]]
    return len(cases), sum(
        "error" not in case
        and any(case["request"].get("tensor", {}).get(name) for name in ("data", "codes"))
        for case in cases)


def run(language, address):
    done = subprocess.run(
        [*language.run, address, "../../../tests/golden"], cwd=language.folder,
        env=language.variables(), text=True, timeout=RUN_TIMEOUT_SECONDS, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


def against(language, target, fault, **options):
    """Exit code, output and the faulty server that the example was run against."""
    server = faulty_server.FaultyServer(target, fault, **options)
    try:
        return (*run(language, server.address), server)
    finally:
        server.stop()


def expect(condition, what, output):
    if not condition:
        raise Unexpected(f"{what}; it printed:\n{output}")


def check_plain(language, address, total):
    """Returns how many golden vectors agree."""
    code, output = run(language, address)
    expect(code == 0, f"exit code {code}", output)
    match = re.search(r"^golden +(\d+) vectors agree$", output, re.MULTILINE)
    expect(match and int(match.group(1)) == total, f"not {total} golden vectors", output)
    expect("field spec.bits" in output, "the field at fault was not printed", output)
    if language.name == "go":
        expect(output in grpcurl.PAGE.read_text(), "docs/clients.md shows another output", output)
    return int(match.group(1))


def check_busy(language, address):
    """Waits as told; gives up in the end; does not try again where it is no use."""
    code, output, server = against(language, address, "busy")
    expect(code == 0, f"exit code {code} from a server that was busy twice", output)
    waits = len(re.findall("^busy ", output, re.MULTILINE))
    expect(waits == 2, f"waited {waits} times for a server that was busy twice", output)
    code, output, server = against(language, address, "swamped")
    expect(code != 0, "exit code 0 from a server that was always busy", output)
    expect(server.calls == ATTEMPTS, f"{server.calls} calls; must be {ATTEMPTS}", output)
    code, output, server = against(language, address, "limited")
    expect(code != 0, "exit code 0 over a limit", output)
    expect(server.calls == 1, f"{server.calls} calls over a limit; must be 1", output)


def check_flips(language, address, payloads):
    """Notices one changed bit, wherever it is. Returns how many were tried."""
    # The first two replies are to the four reals, the others to golden vectors.
    replies = sorted({0, 1, 2, 2 + payloads // 3, 2 + 2 * payloads // 3, 1 + payloads})
    for reply in replies:
        code, output, server = against(language, address, "flip", flip_reply=reply)
        expect(server.payloads > reply, f"only {server.payloads} replies with a payload", output)
        expect(code != 0, f"did not notice a changed bit in reply {reply}", output)
    return len(replies)


def check_grpcurl(address):
    """One row of the table."""
    start = time.monotonic()
    subprocess.run([
        str(ROOT / "tests" / "interop" / "install_tool"),
        "github.com/fullstorydev/grpcurl/cmd/grpcurl", "v1.9.4"], check=True)
    try:
        count = grpcurl.check(address)
    except ValueError as fault:
        raise Unexpected(str(fault)) from None
    what = f"{count} commands of docs/clients.md"
    return f"{what:30} yes   {time.monotonic() - start:.0f} s"


def check(language, address):
    """One row of the table."""
    total, payloads = golden_counts()
    language.prepare()
    start = time.monotonic()
    count = check_plain(language, address, total)
    check_busy(language, address)
    flips = check_flips(language, address, payloads)
    return f"{count:>8} {'waits':>6} {flips:>5} of {flips}  yes   {time.monotonic() - start:.0f} s"


def main():
    known = {language.name: language for language in LANGUAGES}
    # Installed with Go's tools.
    known["grpcurl"] = known["go"]
    names = sys.argv[1:] or list(known)
    for name in names:
        if name not in known:
            sys.exit(f"interop: {name}: no such language; must be one of {', '.join(known)}")
    rows, failed = [], False
    server = server_process.ServerProcess("--log-level=error")
    try:
        for name in names:
            missing = known[name].missing()
            if missing is not None:
                rows.append((name, f"skipped: {missing}"))
                failed = failed or os.environ.get("CI") == "true"
                continue
            print(f"==> {name}", flush=True)
            try:
                row = (
                    check_grpcurl(server.address) if name == "grpcurl"
                    else check(known[name], server.address))
                rows.append((name, row))
            except (Unexpected, RuntimeError, subprocess.SubprocessError) as fault:
                print(f"{name}: {fault}", flush=True)
                rows.append((name, "FAILED: see above"))
                failed = True
    finally:
        code = server.stop()
    print("\nlanguage   golden   busy  changed bits  passed  took")
    for name, row in rows:
        print(f"{name:8} {row}")
    if code != 0:
        print(f"interop: the server ended with {code}; must be 0")
    sys.exit(1 if failed or code != 0 else 0)


if __name__ == "__main__":
    main()

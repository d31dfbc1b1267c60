"""Every limit is a flag in --help, a field of GetServerInfo and a row of the page."""

import re
import subprocess

from server_process import ROOT, binary

# Smaller or larger than any default, and allowed beside each other.
OTHER = {"SIZE": 48 << 20, "COUNT": 77, "SECONDS": 33}
SPECIAL = {"--max-bytes-in-flight": 1 << 30, "--max-metadata-bytes": 32 << 10,
           "--max-connections": 78}


def limits():
    """(flag, placeholder) of each setting that the program calls a limit."""
    reference = subprocess.run([binary("halfstep-server"), "--print-reference"], check=True,
                               capture_output=True, text=True, timeout=60).stdout
    for section in reference.split("### ")[1:]:
        if section.startswith("Limits of "):
            yield from re.findall(r"^\| `(--[a-z-]+) ([A-Z]+)`", section, re.M)


def published(info, flag):
    """The field of GetServerInfo that has a flag's name, with its unit if that is time."""
    for message in (info, info.connection_limits):
        for field in message.DESCRIPTOR.fields:
            name = flag.removeprefix("--").replace("-", "_")
            if field.name in (name, f"{name}_seconds"):
                return getattr(message, field.name)
    raise AssertionError(f"{flag}: not in GetServerInfo")


def test_limits_are_published_as_they_are_set(start_server):
    wanted = {flag: SPECIAL.get(flag, OTHER[kind]) for flag, kind in limits()}
    assert len(wanted) >= 18
    server = start_server(*(f"{flag}={value}" for flag, value in wanted.items()))
    info = server.quantization.GetServerInfo(server.messages.GetServerInfoRequest())
    assert {flag: published(info, flag) for flag in wanted} == wanted
    assert info.max_dimensions == 8


def test_limits_are_in_help_and_on_the_page():
    shown = subprocess.run([binary("halfstep-server"), "--help"], check=True,
                           capture_output=True, text=True, timeout=60).stdout
    page = (ROOT / "docs" / "operations.md").read_text()
    for flag, kind in limits():
        assert f"{flag} {kind}" in shown
        assert f"`{flag} {kind}`" in page


def test_build_is_told(server, pb):
    build = server.quantization.GetServerInfo(pb.GetServerInfoRequest()).build
    assert re.match(r"(GCC|Clang) \d+\.", build.compiler)
    assert build.grpc_version.startswith("1.") and build.protobuf_version.startswith("3.")
    assert "SCALAR" in build.simd_targets


def test_alerts_on_the_page_are_those_of_the_rules():
    rules = set(re.findall(r"- alert: (\w+)", (ROOT / "docker" / "alerts.yaml").read_text()))
    page = (ROOT / "docs" / "operations.md").read_text()
    assert rules and set(re.findall(r"^\| `(Halfstep\w+)`", page, re.M)) == rules

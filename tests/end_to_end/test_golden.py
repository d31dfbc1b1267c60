"""The server, and the oracle, against tests/golden: docs/golden.md in Python."""

import json
import math
import os
import pathlib
import subprocess
import sys

import grpc
import pytest
from google.protobuf import json_format

import expected_replies
from server_process import refusal

pb = expected_replies.pb
GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "golden"
FILES = {path.stem: json.loads(path.read_text()) for path in sorted(GOLDEN.glob("*.json"))}
CASES = {f"{part}: {case['name']}": case for part, file in FILES.items() for case in file["cases"]}


def differences(actual, wanted, within, path=""):
    """Where `actual` lacks what `wanted` holds. What `wanted` leaves out is free."""
    if isinstance(wanted, dict):
        found = []
        for key, value in wanted.items():
            here = f"{path}.{key}" if path else key
            if key not in actual:
                found.append(f"{here}: missing")
            else:
                found += differences(actual[key], value, within, here)
        return found
    if isinstance(wanted, list):
        if len(actual) != len(wanted):
            return [f"{path}: {len(actual)} elements; must be {len(wanted)}"]
        pairs = enumerate(zip(actual, wanted))
        return [d for _, (a, w) in pairs for d in differences(a, w, within, path)]
    if path in within:
        return [] if abs(actual - wanted) <= within[path] else [f"{path}: {actual}, not {wanted}"]
    if isinstance(wanted, (int, float)) and not isinstance(wanted, bool):
        # The sign of zero counts.
        same = actual == wanted and math.copysign(1, actual) == math.copysign(1, wanted)
    else:
        same = actual == wanted
    return [] if same else [f"{path}: {actual!r}, not {wanted!r}"]


def as_json(message):
    return json_format.MessageToDict(message, including_default_value_fields=True)


def request_of(case):
    return json_format.ParseDict(case["request"], getattr(pb, case["method"] + "Request")())


@pytest.mark.parametrize("name", CASES)
def test_server(quantization, name):
    case = CASES[name]
    call = getattr(quantization, case["method"])
    if "error" in case:
        refused = refusal(call, request_of(case))
        assert refused.code == grpc.StatusCode[case["error"]["code"]]
        if case["error"]["field"] is not None:
            assert refused.fields == [case["error"]["field"]]
            assert refused.message.startswith(case["error"]["field"] + ": ")
        return
    reply = as_json(call(request_of(case)))
    assert differences(reply, case["response"], case.get("within", {})) == []


RUNTIMES = [name for name, case in CASES.items() if not name.startswith("numerics: ")]


@pytest.mark.parametrize("name", RUNTIMES)
def test_oracle(name):
    """The oracle, too, is held to what the runtimes computed."""
    case = CASES[name]
    reply = as_json(expected_replies.expected(request_of(case)))
    assert differences(reply, case["response"], case.get("within", {})) == []


def test_a_changed_number_is_seen():
    """The comparison itself: a changed code, a missing field and -0.0 are differences."""
    assert differences({"a": [1, 2]}, {"a": [1, 3]}, {})
    assert differences({"a": [1, 2]}, {"a": [1]}, {})
    assert differences({}, {"a": "AA=="}, {})
    assert differences({"a": 0.0}, {"a": -0.0}, {})
    assert differences({"a": {"b": 0.1}}, {"a": {"b": 0.2}}, {"a.b": 0.05})
    assert not differences({"a": {"b": 0.1, "c": 1}}, {"a": {"b": 0.2}}, {"a.b": 0.11})


@pytest.mark.parametrize("part", ["numpy", "numerics"])
def test_files_are_what_is_computed_today(part):
    """The other parts need their runtimes: ./dev conformance checks them."""
    command = [sys.executable, str(GOLDEN / "generate.py"), "--check", part]
    subprocess.run(
        command, check=True, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}, timeout=300
    )


def test_every_file_is_of_the_version_that_the_server_computes(quantization):
    version = quantization.GetServerInfo(pb.GetServerInfoRequest()).numerics_version
    assert {file["numericsVersion"] for file in FILES.values()} == {version}
    assert len(FILES) == 4

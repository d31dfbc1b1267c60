"""Runs the program `halfstep` for the tests of the command line."""
import json
import os
import pathlib
import re
import subprocess

import numpy as np
import pytest

from server_process import ROOT, binary

DONE, REFUSED, USAGE, FILE, UNREACHABLE = range(5)
MATRIX = ROOT / "tests" / "data" / "glove_1000x100.npy"

# docs/numerics.md, section 10: the notebook's inputs.
PARAMS = np.array([
    199.9341, -9.1758, 0, 7.1529, 123.2222, 101.2439, 182.7486, 88.2835, 58.6505,
    -8.1758, -4.9222, 159.3742, 110.0036, 159.674, 198.9341,
])
PARAMS_SYMMETRIC = np.array([
    -16.88845729, -14.73619101, -9.84795077, -2.16624371, -13.58845586, -13.89295657,
    -5.13396663, -7.43403557, -2.02378329, -4.6139564, 13.66297264, 12.94906411,
    4.74121694, 5.52796603, 5.09095534, 8.92738701, 7.37523507, 2.56579524,
    16.80063994, 13.47113548,
])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, empty, and no server named in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HALFSTEP_SERVER", raising=False)
    monkeypatch.delenv("HALFSTEP_TIMEOUT", raising=False)


def halfstep(*arguments, env=None):
    """Runs the program to its end."""
    return subprocess.run(
        [binary("halfstep"), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **(env or {})},
    )


def output(*arguments, env=None):
    """What the program prints when all is well."""
    done = halfstep(*arguments, env=env)
    assert done.returncode == DONE, done.stderr
    assert done.stderr == ""
    return done.stdout


def reply(*arguments):
    return json.loads(output(*arguments, "--json"))


def refusal(*arguments, code, env=None):
    """The one line that the program prints when something is wrong."""
    done = halfstep(*arguments, env=env)
    assert done.returncode == code, (done.returncode, done.stderr)
    assert done.stdout == ""
    assert re.fullmatch(r"halfstep: [^\n]+\n", done.stderr), done.stderr
    return done.stderr


def files():
    return sorted(path.name for path in pathlib.Path(".").iterdir())

"""What the end-to-end tests have, here too."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "end_to_end"))

from server_process import load_stubs  # noqa: E402


@pytest.fixture(scope="session")
def pb():
    """The messages of the API (quantization_pb2)."""
    return load_stubs()[0]

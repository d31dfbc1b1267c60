"""Fixtures of the container tests. They run under docker/run alone."""

import os
import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
for folder in ("scaling", "end_to_end"):
    sys.path.insert(0, str(HERE.parent / folder))
sys.path.insert(0, str(HERE))

from engine import Container  # noqa: E402


def pytest_collection_modifyitems(items):
    if os.environ.get("HALFSTEP_CONTAINER") != "1":
        raise pytest.UsageError("needs the engine that docker/run starts: ./dev container")


@pytest.fixture
def run_container():
    """run_container(*options, arguments=()) runs one that the test's end removes."""
    started = []

    def run(*options, **arguments):
        container = Container(*options, **arguments)
        started.append(container)
        return container

    yield run
    for container in started:
        container.remove()

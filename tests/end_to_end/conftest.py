"""Fixtures of the end-to-end tests: stubs, one shared server, servers of one's own."""

import pytest

from server_process import ServerProcess, load_stubs


@pytest.fixture(scope="session")
def pb():
    """The messages of the API (quantization_pb2)."""
    return load_stubs()[0]


@pytest.fixture(scope="session")
def services():
    """The stubs of the services (quantization_pb2_grpc)."""
    return load_stubs()[1]


@pytest.fixture(scope="session")
def server():
    """One server with default flags, shared by all tests of the run."""
    running = ServerProcess()
    yield running
    code = running.stop()
    assert code == 0, f"exit code {code}\n{running.stderr()}"


@pytest.fixture(scope="session")
def quantization(server):
    """A stub of QuantizationService on the shared server."""
    return server.quantization


@pytest.fixture(scope="session")
def channel(server):
    """A channel to the shared server, with unlimited message sizes."""
    return server.channel


@pytest.fixture
def start_server():
    """start_server(*flags, env=None, listen=(...)) starts a server of the test's own.

    Servers that still run at the end of the test get SIGTERM and must exit 0.
    """
    started = []

    def start(*flags, **arguments):
        running = ServerProcess(*flags, **arguments)
        started.append(running)
        return running

    yield start
    for running in started:
        if running.process.poll() is None:
            code = running.stop()
            assert code == 0, f"exit code {code}\n{running.stderr()}"

"""Python stubs of the API, and a server process to talk to.

Stubs are generated from proto/ with Debian's protoc, once per run, into a
temporary folder. A server is started on a port that the system picks, and is
ended with SIGTERM by the id of its own process.
"""

import http.client
import importlib
import os
import pathlib
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import grpc

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROTOS = [
    "halfstep/v1/quantization.proto",
    "google/rpc/status.proto",
    "google/rpc/error_details.proto",
]
# A debug or sanitizer build takes seconds to come up on a loaded machine.
START_TIMEOUT_SECONDS = 60
STOP_TIMEOUT_SECONDS = 60
UNLIMITED = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
]


def binary(name):
    """The path of one of our binaries: in $HALFSTEP_BIN, or build/release/bin."""
    folder = os.environ.get("HALFSTEP_BIN", str(ROOT / "build" / "release" / "bin"))
    return str(pathlib.Path(folder) / name)


def generate_stubs(folder):
    """Writes the Python modules of PROTOS under `folder`."""
    plugin = shutil.which("grpc_python_plugin")
    if plugin is None:
        raise RuntimeError("grpc_python_plugin: not found; install protobuf-compiler-grpc")
    subprocess.run(
        [
            "protoc",
            f"--plugin=protoc-gen-grpc_python={plugin}",
            f"--python_out={folder}",
            f"--grpc_python_out={folder}",
            "-I",
            str(ROOT / "proto"),
            "-I",
            str(ROOT / "proto" / "third_party"),
            *PROTOS,
        ],
        check=True,
    )


def load_stubs():
    """The modules (quantization_pb2, quantization_pb2_grpc)."""
    try:
        return _import_stubs()
    except ModuleNotFoundError:
        pass
    with tempfile.TemporaryDirectory(prefix="halfstep_stubs_") as folder:
        generate_stubs(folder)
        sys.path.insert(0, folder)
        try:
            importlib.invalidate_caches()
            return _import_stubs()
        finally:
            sys.path.remove(folder)


def _import_stubs():
    # The details of an error cannot be read without google.rpc.
    from google.rpc import error_details_pb2, status_pb2  # noqa: F401
    from halfstep.v1 import quantization_pb2, quantization_pb2_grpc

    return quantization_pb2, quantization_pb2_grpc


def run_server(*flags, env=None):
    """Runs a server that ends by itself; what it wrote and its exit code."""
    return subprocess.run(
        [binary("halfstep-server"), *flags],
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=60,
    )


def eventually(happened, seconds=60):
    """Whether happened() is true within `seconds`."""
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


class Refusal:
    """What a refused call said: `code`, `message`, `fields`, `has_retry_info`."""

    def __init__(self, error):
        from google.rpc import error_details_pb2, status_pb2

        self.code = error.code()
        self.message = error.details()
        self.fields = []
        self.has_retry_info = False
        for key, value in error.trailing_metadata() or ():
            if key != "grpc-status-details-bin":
                continue
            for detail in status_pb2.Status.FromString(value).details:
                bad_request = error_details_pb2.BadRequest()
                if detail.Unpack(bad_request):
                    self.fields += [v.field for v in bad_request.field_violations]
                if detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
                    self.has_retry_info = True


def refusal(method, request):
    """Calls `method`, which must be refused, and returns the Refusal."""
    try:
        method(request)
    except grpc.RpcError as error:
        return Refusal(error)
    raise AssertionError("the call was not refused")


class ServerProcess:
    """One running halfstep-server. Ends with stop()."""

    def __init__(self, *flags, env=None, listen=("127.0.0.1:0",)):
        """Starts the server and waits until it can serve.

        `flags`   further command line flags.
        `env`     environment variables on top of this process's own.
        `listen`  addresses, one --listen each.
        """
        command = [binary("halfstep-server")]
        command += [f"--listen={address}" for address in listen]
        command += list(flags)
        # Its default port can be one server's only.
        if not any(flag.startswith("--admin-listen") for flag in flags):
            command.append("--admin-listen=off")
        self._stderr = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, **(env or {})},
            text=True,
        )
        self._lines = queue.Queue()
        threading.Thread(target=self._read_lines, daemon=True).start()
        try:
            self.addresses = [self._read_address() for _ in listen]
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        self.address = self.addresses[0]
        self.channel = self.new_channel()
        messages, services = load_stubs()
        self.messages = messages
        self.quantization = services.QuantizationServiceStub(self.channel)
        self.calibration = services.CalibrationServiceStub(self.channel)

    def _read_lines(self):
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def _read_address(self):
        try:
            line = self._lines.get(timeout=START_TIMEOUT_SECONDS)
        except queue.Empty:
            raise RuntimeError(
                f"no `listening on` within {START_TIMEOUT_SECONDS} s\n{self.stderr()}"
            ) from None
        prefix = "listening on "
        if line is None or not line.startswith(prefix):
            raise RuntimeError(f"instead of `listening on`: {line!r}\n{self.stderr()}")
        return line[len(prefix) :]

    def new_channel(self):
        """A further channel of its own, with unlimited message sizes."""
        # Without a pool of its own, gRPC lets channels share one connection.
        return grpc.insecure_channel(
            self.address, options=UNLIMITED + [("grpc.use_local_subchannel_pool", 1)]
        )

    def stderr(self):
        """What the server has logged so far."""
        # The server shares this file's position, so it must not be moved.
        file = self._stderr.fileno()
        return os.pread(file, os.fstat(file).st_size, 0).decode(errors="replace")

    def admin(self):
        """Where --admin-listen ended up, as its log says."""
        found = self.await_log(r"admin on ([^\s\"]+)")
        return found.group(1)

    def page(self, path, method="GET"):
        """The status and the text of a page of the admin port."""
        host, port = self.admin().rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def await_log(self, pattern, seconds=30):
        """Waits for a match of `pattern` in the log, which is written behind calls."""
        end = time.monotonic() + seconds
        while not (found := re.search(pattern, self.stderr())):
            assert time.monotonic() < end, f"no {pattern!r} in\n{self.stderr()}"
            time.sleep(0.01)
        return found

    def stop(self):
        """Sends SIGTERM and returns the exit code."""
        self.channel.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

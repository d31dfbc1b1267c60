"""Python stubs of the API, and a server process to talk to.

Stubs are generated from proto/ with Debian's protoc, once per run, into a
temporary folder. A server is started on a port that the system picks, and is
ended with SIGTERM by the id of its own process.
"""
import os
import pathlib
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

import grpc

ROOT = pathlib.Path(__file__).resolve().parents[2]
QUANTIZATION_PROTO = "halfstep/v1/quantization.proto"
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
    """Writes quantization_pb2 and quantization_pb2_grpc under `folder`."""
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
            QUANTIZATION_PROTO,
        ],
        check=True,
    )


def load_stubs():
    """The modules (quantization_pb2, quantization_pb2_grpc)."""
    try:
        from halfstep.v1 import quantization_pb2, quantization_pb2_grpc
    except ModuleNotFoundError:
        with tempfile.TemporaryDirectory(prefix="halfstep_stubs_") as folder:
            generate_stubs(folder)
            sys.path.insert(0, folder)
            try:
                from halfstep.v1 import quantization_pb2, quantization_pb2_grpc
            finally:
                sys.path.remove(folder)
    return quantization_pb2, quantization_pb2_grpc


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
        return line[len(prefix):]

    def new_channel(self):
        """A further channel of its own, with unlimited message sizes."""
        # Without a pool of its own, gRPC lets channels share one connection.
        return grpc.insecure_channel(
            self.address, options=UNLIMITED + [("grpc.use_local_subchannel_pool", 1)]
        )

    def stderr(self):
        """What the server has logged so far."""
        self._stderr.seek(0)
        return self._stderr.read().decode(errors="replace")

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

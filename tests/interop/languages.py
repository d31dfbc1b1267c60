"""The examples: what each needs, and how a user builds and runs it.

The commands are those at the head of each example, and run in a copy of its folder
in build/interop, which is as far from proto/ as client/examples is.
"""
import dataclasses
import os
import pathlib
import re
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "build" / "interop"
PROTO = "../../../proto"
# What a user who built in the folder itself left there.
BUILT = ("bin", "halfstepv1", "node_modules", "target", "Cargo.lock", "__pycache__")
BUILD_TIMEOUT_SECONDS = 3600


@dataclasses.dataclass(frozen=True)
class Tool:
    """A program, the arguments that make it print its version, and the least one."""
    command: str
    version: tuple
    least: tuple


@dataclasses.dataclass(frozen=True)
class Language:
    name: str
    tools: tuple
    build: tuple
    run: tuple
    environment: dict = dataclasses.field(default_factory=dict)

    @property
    def folder(self):
        return OUT / self.name

    def missing(self):
        """What keeps the example from being built here, or None."""
        for tool in self.tools:
            if shutil.which(tool.command) is None:
                return f"{tool.command}: not found; needs {dotted(tool.least)}"
            done = subprocess.run(
                [tool.command, *tool.version], text=True, timeout=60, check=False,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            # Maven prints in bold even where nobody looks.
            plain = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
            number = re.search(r"\d+(\.\d+)*", plain)
            if number is None:
                return f"{tool.command}: tells no version"
            if tuple(int(part) for part in number.group().split(".")) < tool.least:
                return f"{tool.command} {number.group()}: needs {dotted(tool.least)}"
        return None

    def prepare(self):
        """Copies and builds the example. Raises RuntimeError with the output."""
        shutil.copytree(
            ROOT / "client" / "examples" / self.name, self.folder, dirs_exist_ok=True,
            ignore=shutil.ignore_patterns(*BUILT))
        for command in self.build:
            done = subprocess.run(
                command, cwd=self.folder, env=self.variables(), text=True, check=False,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=BUILD_TIMEOUT_SECONDS)
            if done.returncode != 0:
                raise RuntimeError(f"{' '.join(command)}\n{done.stdout}")

    def variables(self):
        return os.environ | {"PYTHONDONTWRITEBYTECODE": "1"} | self.environment


def dotted(version):
    return ".".join(str(part) for part in version)


PROTOC = Tool("protoc", ("--version",), (3, 15))

LANGUAGES = (
    Language(
        name="python",
        tools=(Tool("/usr/bin/python3", ("--version",), (3, 7)), PROTOC),
        build=((
            "protoc", "-I", PROTO, "-I", f"{PROTO}/third_party", "--python_out=.", "--grpc_out=.",
            "--plugin=protoc-gen-grpc=/usr/bin/grpc_python_plugin",
            "halfstep/v1/quantization.proto", "google/rpc/status.proto",
            "google/rpc/error_details.proto"),),
        run=("/usr/bin/python3", "example.py"),
    ),
    Language(
        name="go",
        tools=(Tool("go", ("version",), (1, 25)), PROTOC),
        build=(
            ("go", "install", "tool"),
            ("go", "generate"),
            ("go", "vet", "."),
            ("go", "build", "-o", "bin/halfstep-example", ".")),
        run=("bin/halfstep-example",),
        environment={"GOBIN": str(OUT / "go" / "bin"), "GOTOOLCHAIN": "local"},
    ),
    Language(
        name="java",
        tools=(Tool("javac", ("-version",), (17,)), Tool("mvn", ("-version",), (3, 8))),
        build=(("mvn", "--batch-mode", "--quiet", "package"),),
        run=("java", "-jar", "target/halfstep-example.jar"),
    ),
    Language(
        name="node",
        tools=(Tool("node", ("--version",), (18,)), Tool("npm", ("--version",), (8,))),
        build=((
            "npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"),),
        run=("node", "example.js"),
    ),
    Language(
        name="rust",
        tools=(Tool("cargo", ("--version",), (1, 88)), PROTOC),
        build=(("cargo", "build", "--quiet"),),
        run=("target/debug/halfstep-example",),
    ),
)

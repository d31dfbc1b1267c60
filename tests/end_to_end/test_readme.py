"""What README shows is what happens.

Its `console` blocks are run as they stand, with one server on the port that README
uses replaced by one that the system picks, and must print what README prints. Its
Python block is run, its C++ block is compiled by CMake (readme_example), and each
must print the block that follows it.
"""

import os
import re
import subprocess

import pytest

from server_process import ROOT, ServerProcess, binary

ADDRESS = "127.0.0.1:50051"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = FENCE.findall((ROOT / "README.md").read_text())


def with_answer(language):
    """The block in `language`, and the block after it."""
    (index,) = [i for i, (name, _) in enumerate(BLOCKS) if name == language]
    assert BLOCKS[index + 1][0] == "text"
    return BLOCKS[index][1], BLOCKS[index + 1][1]


def commands():
    """Every `$ command` of the console blocks, with what it must print."""
    for language, text in BLOCKS:
        if language == "console":
            for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                command, _, answer = part.partition("\n")
                yield command, answer


@pytest.fixture(scope="module")
def address():
    running = ServerProcess()
    yield running.addresses[0]
    assert running.stop() == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A place that looks like the root of the tree to what README shows."""
    root = tmp_path_factory.mktemp("readme")
    (root / "build" / "release").mkdir(parents=True)
    (root / "build" / "release" / "bin").symlink_to(os.path.dirname(binary("halfstep")))
    (root / "proto").symlink_to(ROOT / "proto")
    (root / "tests").symlink_to(ROOT / "tests")
    return root


def output_of(command, folder, address, **environment):
    path = f"{os.path.dirname(binary('halfstep'))}:/usr/bin:{os.environ['PATH']}"
    done = subprocess.run(
        [part.replace(ADDRESS, address) for part in command],
        cwd=folder, env=os.environ | {"PATH": path} | environment,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=120, check=False)
    return done.stdout.replace(address, ADDRESS)


# In one test and in README's order: a command may use what one before it wrote.
def test_console_blocks(folder, address):
    shown = list(commands())
    assert len(shown) >= 3
    for command, answer in shown:
        printed = output_of(["bash", "-c", command], folder, address)
        assert printed == answer, command


def test_python(folder, address):
    program, answer = with_answer("python")
    (folder / "example.py").write_text(program.replace(ADDRESS, address))
    # The stubs that the console blocks made, or those of the build.
    assert output_of(["/usr/bin/python3", "example.py"], folder, address) == answer


def test_cpp(folder, address):
    _, answer = with_answer("cpp")
    example = os.path.join(os.path.dirname(binary("halfstep")), "..", "tests", "readme_example")
    assert output_of([example, address], folder, address) == answer


def test_shell_blocks_name_commands_that_exist():
    shown = re.findall(r"\./dev (\w+)", "".join(text for name, text in BLOCKS if name == "sh"))
    assert {"demo", "test"} <= set(shown)
    help_text = subprocess.run([ROOT / "dev", "help"], capture_output=True, text=True, check=True)
    for command in shown:
        assert re.search(rf"^  {command}\b", help_text.stdout, re.MULTILINE), command

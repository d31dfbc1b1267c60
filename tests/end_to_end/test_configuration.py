"""Where the server's settings come from, from outside: file, variables, flags, SIGHUP."""

import re
import signal
import time
import tomllib

import pytest

from server_process import ROOT, eventually, run_server


@pytest.fixture
def file(tmp_path):
    """file(text) writes a TOML file, always the same one, and returns its path."""
    path = tmp_path / "halfstep.toml"

    def write(text):
        path.write_text(text)
        return str(path)

    return write


def test_a_flag_wins_over_a_variable_and_that_over_the_file(file):
    path = file('threads = 3\nmax_waiting_calls = 4\nmax_queued_calls = 5\n')
    shown = run_server(
        f"--config={path}", "--threads=9", "--print-config",
        env={"HALFSTEP_THREADS": "8", "HALFSTEP_MAX_WAITING_CALLS": "7"},
    )
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert "threads = 9  # --threads" in lines
    assert "max_waiting_calls = 7  # HALFSTEP_MAX_WAITING_CALLS" in lines
    assert f"max_queued_calls = 5  # {path}:3: max_queued_calls" in lines
    assert 'log_level = "info"  # default' in lines


def test_what_is_printed_is_a_file_that_says_the_same(file):
    shown = run_server("--print-config", "--threads=3", "--listen=unix:/tmp/a \"b\".sock")
    printed = tomllib.loads(shown.stdout)
    assert printed["threads"] == 3
    assert printed["listen"] == ['unix:/tmp/a "b".sock']
    again = run_server(f"--config={file(shown.stdout)}", "--print-config")
    assert again.returncode == 0, again.stderr
    assert tomllib.loads(again.stdout) == printed


def test_the_file_may_be_named_by_a_variable(file, start_server):
    path = file('max_message_bytes = "64KiB"\n')
    server = start_server(env={"HALFSTEP_CONFIG": path})
    info = server.quantization.GetServerInfo(server.messages.GetServerInfoRequest())
    assert info.max_message_bytes == 65536


@pytest.mark.parametrize(
    "text, fault",
    [
        ("thread = 3", "1: thread: no such setting; must be threads, perhaps"),
        ("\n\nthreads = 'two'", "3: threads: two; must be a whole number"),
        ("threads = 2000", "1: threads: 2000; must be in [0, 1024]"),
        ("threads =", "1: "),
        ("threads = 1\nthreads = 2", "2: "),
        ('listen = "a\\nb"', "1: listen: a?b; must be HOST:PORT or unix:PATH"),
    ],
)
@pytest.mark.parametrize("flags", [[], ["--check-config"]])
def test_a_wrong_file_is_one_line_and_exit_78(file, text, fault, flags):
    path = file(text)
    refused = run_server(f"--config={path}", *flags)
    assert refused.returncode == 78
    assert refused.stdout == ""
    assert refused.stderr.startswith(f"halfstep-server: {path}:{fault}")
    assert refused.stderr.count("\n") == 1


def test_a_wrong_variable_is_one_line_and_exit_78():
    for name, value in [("HALFSTEP_THREDS", "3"), ("HALFSTEP_THREADS", "x")]:
        refused = run_server("--check-config", env={name: value})
        assert refused.returncode == 78
        assert refused.stderr.startswith(f"halfstep-server: {name}: ")
        assert refused.stderr.count("\n") == 1


def test_what_the_project_tells_its_tests_is_nothing_to_the_server():
    scripts = [ROOT / "dev", ROOT / ".ci" / "run", *ROOT.glob("tests/*/run"), *ROOT.glob("tests/**/CMakeLists.txt")]
    # Not -DHALFSTEP_..., which is CMake's.
    told = {name for path in scripts for name in re.findall(r"\bHALFSTEP_[A-Z_]+(?==)", path.read_text())}
    assert {"HALFSTEP_BIN", "HALFSTEP_REQUIRE_CONTAINERS"} <= told
    allowed = run_server("--check-config", env={name: "1" for name in told})
    assert (allowed.returncode, allowed.stderr) == (0, "")


def test_a_wrong_flag_is_exit_2():
    assert run_server("--threads=x").returncode == 2
    assert run_server("--threds=3").returncode == 2


def test_what_is_right_is_exit_0_and_says_nothing(file):
    checked = run_server(f"--config={file('threads = 3')}", "--check-config")
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_hangup_reads_the_file_again(file, start_server, pb):
    path = file("log_level = 'info'")
    server = start_server(f"--config={path}")
    call = lambda: server.quantization.GetServerInfo(pb.GetServerInfoRequest())  # noqa: E731
    log = lambda text: lambda: text in server.stderr()  # noqa: E731
    call()
    assert eventually(log("GetServerInfo"))

    # A wrong file changes nothing, and the log says what is wrong with it.
    file("log_level = 'loud'")
    server.process.send_signal(signal.SIGHUP)
    assert eventually(log("configuration not reloaded"))
    assert f"{path}:1: log_level: loud; must be off" in server.stderr()
    lines = server.stderr().count("GetServerInfo")
    call()
    assert eventually(lambda: server.stderr().count("GetServerInfo") > lines)

    # What a running server cannot change is named, each time again.
    file("threads = 3\nmax_queued_calls = 9")
    for count in (1, 2):
        server.process.send_signal(signal.SIGHUP)
        assert eventually(
            lambda: server.stderr().count("needs a restart: threads, max_queued_calls") == count
        )

    # The level changes: such a call has a line no more.
    file("log_level = 'debug'")
    server.process.send_signal(signal.SIGHUP)
    assert eventually(log("changed: log_level"))
    file("log_level = 'error'")
    server.process.send_signal(signal.SIGHUP)

    # The line about it is of level info itself: a call without a line shows it.
    def silent():
        before = server.stderr()
        call()
        time.sleep(0.2)
        return server.stderr() == before

    assert eventually(silent)
    assert server.stop() == 0

"""Completion in real shells, man pages, and what is installed."""

import os
import re
import subprocess

import pytest

from server_process import ROOT, binary
from shells import Shell, fish_completions, is_there

BUILD = os.path.dirname(os.path.dirname(binary("halfstep")))

# (what is typed, what the line is after Tab in bash, in zsh)
LINES = [
    ("halfstep quan", "halfstep quantize ", None),
    ("halfstep quantize --sch", "halfstep quantize --scheme ", "halfstep quantize --scheme="),
    ("halfstep quantize --scheme sy", "halfstep quantize --scheme symmetric ", None),
    ("halfstep quantize --scheme=sy", "halfstep quantize --scheme=symmetric ", None),
    # An option of all commands, behind one and alone.
    ("halfstep info --serv", "halfstep info --server ", "halfstep info --server="),
    ("halfstep --serv", "halfstep --server ", "halfstep --server="),
    # Files, as an argument and as a value.
    ("halfstep quantize weig", "halfstep quantize weights.npy ", None),
    ("halfstep quantize --parameters weig", "halfstep quantize --parameters weights.npy ", None),
    ("halfstep completion z", "halfstep completion zsh ", None),
    ("halfstep-server --max-mes", "halfstep-server --max-message-bytes ",
     "halfstep-server --max-message-bytes="),
    ("halfstep-server --log-level de", "halfstep-server --log-level debug ", None),
    ("halfstep-server --log-level=de", "halfstep-server --log-level=debug ", None),
    ("halfstep-server --tls-cert weig", "halfstep-server --tls-cert weights.npy ", None),
    ("halfstep-server --produ", "halfstep-server --production ", None),
    # A value that only the user knows: nothing, and no file.
    ("halfstep-server --threads weig", "halfstep-server --threads weig", None),
]


def printed(*command):
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the scripts, and a file to be found."""
    folder = tmp_path_factory.mktemp("completion")
    (folder / "weights.npy").write_text("")
    for shell in ("bash", "zsh", "fish"):
        script = printed(binary("halfstep"), "completion", shell)
        (folder / f"halfstep.{shell}").write_text(script)
        script = printed(binary("halfstep-server"), f"--completion={shell}")
        (folder / f"halfstep-server.{shell}").write_text(script)
    for name in ("halfstep", "halfstep-server"):
        (folder / f"_{name}").write_text((folder / f"{name}.zsh").read_text())
    return folder


@pytest.fixture(scope="module")
def environment(folder):
    return {
        "PATH": os.path.dirname(binary("halfstep")) + ":" + os.environ["PATH"],
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8",
    }


@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_tab_completes(name, folder, environment):
    if not is_there(name):
        pytest.skip(f"{name} is not installed")
    shell = Shell(name, folder, environment)
    try:
        for typed, in_bash, in_zsh in LINES:
            wanted = in_zsh if name == "zsh" and in_zsh is not None else in_bash
            assert shell.completed(typed).rstrip() == wanted.rstrip(), typed
    finally:
        shell.end()


def test_fish_offers(folder, environment):
    if not is_there("fish"):
        pytest.skip("fish is not installed")
    for typed, in_bash, _ in LINES:
        last = re.split(r"[ ]", typed)[-1]
        wanted = in_bash.split()[-1]
        offered = fish_completions(typed, folder, environment)
        if wanted == last:
            assert offered == [], typed
        else:
            assert offered == [wanted], typed


def test_every_flag_is_offered(folder):
    """What --help shows, each script knows."""
    for name in ("halfstep", "halfstep-server"):
        flags = set(re.findall(r"^ +(?:-\w,)?--([a-z-]+)", printed(binary(name), "--help"), re.M))
        assert len(flags) > 5
        for shell in ("bash", "zsh", "fish"):
            script = (folder / f"{name}.{shell}").read_text()
            for flag in flags:
                assert re.search(rf"(--|-l ){flag}\b", script), (name, shell, flag)


@pytest.mark.parametrize("section, command", [(1, ("halfstep", "man-page")),
                                              (8, ("halfstep-server", "--print-man-page"))])
def test_man_pages(section, command, tmp_path):
    for tool in ("man", "mandoc"):
        if not is_there(tool):
            pytest.skip(f"{tool} is not installed")
    page = tmp_path / f"{command[0]}.{section}"
    page.write_text(printed(binary(command[0]), *command[1:]))
    lint = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", page], capture_output=True,
                          text=True, timeout=60)
    assert lint.stdout == "" and lint.returncode == 0
    shown = subprocess.run(
        ["man", "--warnings", "--local-file", page], capture_output=True, text=True, timeout=60,
        check=True, env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "200"})
    assert shown.stderr == ""
    for heading in ("NAME", "SYNOPSIS", "OPTIONS", "EXIT CODES", "EXAMPLES", "SEE ALSO"):
        assert f"\n{heading}\n" in f"\n{shown.stdout}"
    text = shown.stdout.replace("‐\n", "")
    for flag in re.findall(r"^ +(?:-\w,)?(--[a-z-]+)", printed(binary(command[0]), "--help"),
                           re.M):
        assert flag in text


def test_what_is_installed(tmp_path):
    cache = os.path.join(BUILD, "CMakeCache.txt")
    if not os.path.exists(cache):
        pytest.skip(f"{BUILD} is not a build")
    subprocess.run(["cmake", "--install", BUILD, "--prefix", tmp_path], check=True, timeout=120,
                   capture_output=True)
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    for name, section in (("halfstep", 1), ("halfstep-server", 8)):
        assert files >= {
            f"bin/{name}",
            f"share/man/man{section}/{name}.{section}",
            f"share/bash-completion/completions/{name}",
            f"share/zsh/site-functions/_{name}",
            f"share/fish/vendor_completions.d/{name}.fish",
        }
    shown = printed(str(tmp_path / "bin" / "halfstep"), "info")
    assert "version" in shown
    script = printed(binary("halfstep"), "completion", "bash")
    assert (tmp_path / "share/bash-completion/completions/halfstep").read_text() == script


def test_the_page_for_operators_equals_the_program():
    """docs/operations.md: `./dev reference` writes the tables anew."""
    page = (ROOT / "docs" / "operations.md").read_text()
    tables = page.split("<!-- settings -->\n")[1].split("<!-- end of settings -->")[0]
    assert tables.strip() == printed(binary("halfstep-server"), "--print-reference").strip()

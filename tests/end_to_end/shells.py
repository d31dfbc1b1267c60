"""Real shells at a terminal, to see what a Tab makes of a line.

A shell of its own reads its keys from a pseudo-terminal, as from a person. After
Tab a key of the test's own writes the line, as it stands then, into a file.
"""

import os
import pty
import select
import shutil
import signal
import subprocess
import time

TAB = b"\t"
SHOW_LINE = b"\x18"  # control X
SECONDS_MAX = 60

# Each with `{file}`: where the key writes the line; `{folder}`: where scripts are.
SETUP = {
    "bash": """
unset HISTFILE
bind 'set bell-style none'
show() {{ printf '%s\\n' "$READLINE_LINE" >>'{file}'; READLINE_LINE=; READLINE_POINT=0; }}
bind -x '"\\C-x": show'
source '{folder}/halfstep.bash'
source '{folder}/halfstep-server.bash'
""",
    "zsh": """
unset HISTFILE
fpath=('{folder}' $fpath)
autoload -Uz compinit
compinit -u -D
unsetopt beep
show() {{ print -r -- "$BUFFER" >>'{file}'; BUFFER=; }}
zle -N show
bindkey '^X' show
bindkey '^I' complete-word
""",
}
START = {"bash": ["--norc", "--noprofile", "-i"], "zsh": ["-f", "-i"]}


def is_there(name):
    """Whether a program is installed; in CI everything must be."""
    found = shutil.which(name) is not None
    assert found or os.environ.get("CI") != "true", f"{name}: not installed"
    return found


class Shell:
    """An interactive bash or zsh that has loaded the completion scripts."""

    def __init__(self, name, folder, environment):
        self._file = folder / f"{name}-lines"
        self._file.write_text("")
        setup = folder / f"{name}-setup"
        setup.write_text(SETUP[name].format(file=self._file, folder=folder))
        self._id, self._terminal = pty.fork()
        if self._id == 0:
            os.chdir(folder)
            os.execvpe(name, [name, *START[name]], {**environment, "TERM": "xterm", "PS1": "> "})
        self._type(f". '{setup}'; echo >>'{self._file}'\n".encode())
        self._await_lines(1)

    def completed(self, line):
        """What the line is after a Tab at its end."""
        count = len(self._lines())
        self._type(line.encode() + TAB)
        time.sleep(0.05)
        self._type(SHOW_LINE)
        return self._await_lines(count + 1)[-1]

    def end(self):
        os.kill(self._id, signal.SIGHUP)
        os.close(self._terminal)
        os.waitpid(self._id, 0)

    def _lines(self):
        return self._file.read_text().split("\n")[:-1]

    def _await_lines(self, count):
        for _ in range(SECONDS_MAX * 20):
            self._drain()
            if len(self._lines()) >= count:
                return self._lines()
            time.sleep(0.05)
        raise AssertionError("the shell does not answer")

    def _type(self, keys):
        while keys:
            self._drain()
            keys = keys[os.write(self._terminal, keys):]

    def _drain(self):
        """Takes what the shell has printed, or it would wait for that."""
        while select.select([self._terminal], [], [], 0)[0]:
            if not os.read(self._terminal, 4096):
                return


def fish_completions(line, folder, environment):
    """The candidates that fish offers for a line."""
    script = (f"source '{folder}/halfstep.fish'; source '{folder}/halfstep-server.fish'; "
              "complete -C $argv[1]")
    shown = subprocess.run(
        ["fish", "--no-config", "-c", script, line], cwd=folder, env=environment,
        capture_output=True, text=True, timeout=SECONDS_MAX, check=True)
    return [candidate.split("\t")[0] for candidate in shown.stdout.splitlines()]

"""The engine that docker/run started, by its command line."""

import json
import os
import pathlib
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
IMAGE = "halfstep"
BASE = "halfstep-base"


def docker(*arguments, check=True, **options):
    """Runs docker and returns what it printed, without the last newline."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=300,
                          **options)
    if check and done.returncode != 0:
        raise AssertionError(f"docker {' '.join(arguments)}: {done.stdout}{done.stderr}")
    return (done.stdout if check else done.stdout + done.stderr).rstrip("\n")


def inspect(name):
    return json.loads(docker("inspect", name))[0]


def wait_until(holds, what, seconds=60):
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.1)


class Container:
    """One container of the image, on a port of loopback; removed by remove()."""

    # As an operator should run it.
    HARDENED = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"]

    def __init__(self, *options, arguments=(), image=IMAGE):
        self.id = docker("run", "-d", "-p", "127.0.0.1:0:50051", *options, image, *arguments)
        self.address = None
        if inspect(self.id)["State"]["Running"]:
            port = docker("port", self.id, "50051/tcp", check=False).splitlines()[0]
            self.address = port if ":" in port else None

    def state(self):
        return inspect(self.id)["State"]

    def wait_healthy(self):
        wait_until(lambda: self.state()["Health"]["Status"] == "healthy",
                   f"healthy: {self.state()} {self.logs()[-2000:]}")
        return self

    def logs(self):
        return docker("logs", self.id, check=False)

    def execute(self, *command, check=True):
        return docker("exec", self.id, *command, check=check)

    def signal(self, name):
        docker("kill", f"--signal={name}", self.id)

    def wait(self):
        """The exit code, once it has ended."""
        return int(docker("wait", self.id))

    def remove(self):
        docker("rm", "-f", "-v", self.id)


def compose(*arguments, check=True):
    """Runs the classic docker-compose on docker/compose.yaml; returns its output."""
    done = subprocess.run(
        ["docker-compose", "-p", "halfstep", "-f", str(ROOT / "docker" / "compose.yaml"),
         *arguments],
        capture_output=True, text=True, timeout=300,
        # Two servers on two processors with what calls them.
        env={**os.environ, "SERVER_CPUS": "0.5"})
    if check and done.returncode != 0:
        raise AssertionError(f"docker-compose {' '.join(arguments)}: {done.stdout}{done.stderr}")
    return done.stdout

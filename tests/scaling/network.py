"""Servers in network namespaces of their own, behind one name.

Is to run in fresh namespaces (network, mounts, processes): tests/scaling/run. There
is a bridge, which the callers are on, and for each server a namespace with a cable
to it. dnsmasq answers for NAME with the addresses that it was last told. A server
gets a share of one processor by a control group (v1 or v2), and so takes itself for
a machine of one processor.
"""

import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "end_to_end"))

import process_usage  # noqa: E402

NAME = "halfstep.test"
PORT = 50051
# Short, so that a server that has used up its share waits a few ms, not 100.
PERIOD_US = 10_000
START_SECONDS = 30
ALIASES = 25


def shell(command):
    subprocess.run(command, shell=True, check=True)


class Network:
    def __init__(self, cgroup, folder):
        self._folder = pathlib.Path(folder)
        self._cgroup = cgroup
        shell("mount -t tmpfs none /run && mkdir /run/netns && ip link set lo up && "
              "ip link add halfstep type bridge && ip addr add 10.77.0.1/16 dev halfstep && "
              "ip link set halfstep up")
        resolv = self._folder / "resolv.conf"
        resolv.write_text("nameserver 127.0.0.1\noptions ndots:0\n")
        shell(f"mount --bind {resolv} /etc/resolv.conf")
        self._hosts = self._folder / "hosts"
        self._hosts.write_text("")
        self._dns = subprocess.Popen([
            "dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--port=53",
            "--listen-address=127.0.0.1", "--bind-interfaces", "--conf-file=/dev/null",
            f"--addn-hosts={self._hosts}", "--pid-file", "--user=root", "--local-ttl=1",
            "--log-facility=/dev/null"])

    def resolve_to(self, hosts):
        """From now on NAME is these addresses."""
        self._hosts.write_text("".join(f"{host} {NAME}\n" for host in hosts))
        self._dns.send_signal(signal.SIGHUP)
        wanted = set(hosts)
        end = time.monotonic() + 10
        while True:
            found = subprocess.run(["getent", "ahostsv4", NAME], capture_output=True, text=True)
            if {line.split()[0] for line in found.stdout.splitlines()} == wanted:
                return
            if time.monotonic() > end:
                raise RuntimeError(f"{NAME} is {found.stdout!r}; must be {wanted}")
            time.sleep(0.05)

    def add_server(self, number, share, processor, flags=()):
        """A Server that is not started yet. `share` is of one processor."""
        shell(f"ip netns add s{number} && ip link add v{number} type veth peer name eth0 "
              f"netns s{number} && ip link set v{number} master halfstep up && "
              f"ip -n s{number} addr add 10.77.0.{10 + number}/16 dev eth0 && "
              f"ip -n s{number} link set eth0 up && ip -n s{number} link set lo up")
        server = Server(number, self._make_group(number, share), processor, flags, self._folder)
        for alias in server.aliases:
            shell(f"ip -n s{number} addr add {alias}/16 dev eth0")
        return server

    def callers_group(self):
        """The file that takes the ids of callers: all of their processor, if need be."""
        return self._make_group("callers", os.cpu_count())

    def _make_group(self, number, share):
        """The file that takes the ids of processes for a new group with this share."""
        quota = int(share * PERIOD_US)
        v1 = pathlib.Path("/sys/fs/cgroup/cpu")
        if (v1 / "cpu.cfs_quota_us").exists() or (v1 / "cgroup.procs").exists():
            group = v1 / self._cgroup / str(number)
            group.mkdir(parents=True)
            # Before what else runs on the machine, so that the share is had.
            for weight in (group, group.parent):
                (weight / "cpu.shares").write_text("262144")
            (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(quota))
            return group / "cgroup.procs"
        v2 = pathlib.Path("/sys/fs/cgroup")
        group = v2 / self._cgroup / str(number)
        group.mkdir(parents=True)
        for parent in (v2, v2 / self._cgroup):
            (parent / "cgroup.subtree_control").write_text("+cpu")
        for weight in (group, group.parent):
            (weight / "cpu.weight").write_text("10000")
        (group / "cpu.max").write_text(f"{quota} {PERIOD_US}")
        return group / "cgroup.procs"


class Server:
    def __init__(self, number, group, processor, flags, folder):
        self.number = number
        self.host = f"10.77.0.{10 + number}"
        # Further addresses, to stand for further servers.
        self.aliases = [f"10.77.{number}.{1 + i}" for i in range(ALIASES)]
        self._group = group
        self._log = pathlib.Path(folder) / f"server{number}.log"
        # Not by `ip netns exec`, which hides the control groups.
        self._command = [
            "nsenter", f"--net=/run/netns/s{number}", "taskset", "-c", str(processor),
            os.path.join(os.environ["HALFSTEP_BIN"], "halfstep-server"),
            f"--listen=0.0.0.0:{PORT}", "--allow-plaintext", *flags]
        self._process = None

    def start(self):
        """Starts it and waits until it listens. The log goes on where it was."""
        with tempfile.TemporaryFile() as output, open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=output, stderr=log,
                preexec_fn=lambda: self._group.write_text(str(os.getpid())))
            end = time.monotonic() + START_SECONDS
            while b"listening on" not in os.pread(output.fileno(), 4096, 0):
                if self._process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"server {self.number}: {self._log.read_text()[-500:]}")
                time.sleep(0.02)
        return self

    def stop(self):
        """SIGTERM; returns the exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout=60)

    def kill(self):
        self._process.kill()
        self._process.wait()

    def answered(self):
        """Calls answered with OK since the log began."""
        return len(re.findall(rb" status=OK", self._log.read_bytes()))

    def clear_log(self):
        os.truncate(self._log, 0)

    def cpu_seconds(self):
        """Of the process that runs now."""
        return process_usage.cpu_seconds(self._process.pid)

    def resident_bytes(self):
        return process_usage.resident_bytes(self._process.pid)

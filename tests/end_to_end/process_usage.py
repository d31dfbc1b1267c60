"""What a process uses, as /proc tells it."""

import os
import pathlib

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def _status_bytes(pid, field):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/{pid}/status: no {field}")


def resident_bytes(pid):
    """What it holds in memory now."""
    return _status_bytes(pid, "VmRSS")


def peak_bytes(pid):
    """The most that it has held so far."""
    return _status_bytes(pid, "VmHWM")


def cpu_seconds(pid):
    """User and system time of all its threads."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))

"""Who holds a lease: a process of a machine, and whether it is still there."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path


def this_worker() -> str:
    """Name this process for its leases: ``host:pid:start``."""
    return f"{socket.gethostname()}:{os.getpid()}:{_started(os.getpid())}"


def is_gone(holder: str) -> bool:
    """Tell whether it was a process of this machine that is no more."""
    host, _, rest = holder.partition(":")
    number, _, start = rest.partition(":")
    if host != socket.gethostname() or not number.isdigit():
        return False
    return _started(int(number)) != start


def _started(pid: int) -> str:
    """Tell when a process of this machine began, as a word that no later one of the same number has.

    Empty when there is no such process. Where the system does not tell (Windows) every process counts as alive, with
    the word ``unknown``, and the lease has to run out.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    except OSError:
        if Path("/proc/self/stat").exists():
            return ""
    else:
        return "" if fields[0] in "ZX" else f"{fields[19]}-{boot}"
    if os.name != "posix":
        return "unknown"
    told = subprocess.run(  # noqa: S603 (a fixed command and a number)
        ["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return "-".join(told.stdout.replace(":", ".").split())

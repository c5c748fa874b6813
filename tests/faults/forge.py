"""Makes processes that a fault may befall: forked from one in which everything is imported, each let go when told.

Forked, because what takes a second is importing. A child answers over a socket, so that a disk that takes no write does
not swallow its answer, and the calls of the system that write are those of the program alone.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

TESTS = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Done:
    """How a child ended. ``status`` as of ``os.waitstatus_to_exitcode``; ``told`` is what the function gave."""

    status: int
    told: Any


@dataclass
class Child:
    """A process that stands at its gate."""

    pid: int
    line: socket.socket

    def run(self) -> Done:
        """Let it go, and wait for its end."""
        self.go()
        return self.done()

    def go(self) -> None:
        self.line.sendall(b"!")

    def done(self) -> Done:
        """Wait for its end."""
        with self.line, self.line.makefile("r", encoding="utf-8") as lines:
            text = lines.readlines()
        told = json.loads(text[0])["told"] if len(text) > 1 else None
        return Done(json.loads(text[-1])["status"], told)


class Forge:
    """Forks children that call ``module:function``; close it at the end."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self._line = ours
        self._maker = subprocess.Popen(
            [sys.executable, str(Path(__file__)), str(theirs.fileno())], pass_fds=[theirs.fileno()]
        )
        theirs.close()

    def child(self, call: str, **given: Any) -> Child:
        """Make a process that will call ``call`` (``faults.day:command``) with what is given, plain data."""
        here, there = socket.socketpair()
        order = json.dumps({"call": call, "given": given}).encode()
        with there:
            socket.send_fds(self._line, [order], [there.fileno()])
        pid = int(here.recv(32).decode())
        return Child(pid, here)

    def learn(self, modules: Sequence[str]) -> None:
        """Import these, so that no child has to."""
        self._line.sendall(json.dumps({"modules": list(modules)}).encode())
        self._line.recv(1)

    def close(self) -> None:
        self._line.close()
        self._maker.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# ---------------------------------------------------------------------------------------------------------------------
# What strace does to a child.


def strace() -> str | None:
    """Give strace's path where it is installed and may trace a process that is not its child; None elsewhere."""
    program = shutil.which("strace")
    if program is None:
        return None
    idle = subprocess.Popen(["sleep", "60"])
    try:
        with attached(idle.pid, ["-e", "trace=none"]):
            idle.kill()
    except PermissionError:
        idle.kill()
        return None
    finally:
        idle.wait()
    return program


@contextlib.contextmanager
def attached(pid: int, options: Sequence[str]) -> Iterator[None]:
    """Let strace hold the process ``pid`` and its children. Raises ``PermissionError`` where it may not."""
    tracer = subprocess.Popen(
        ["strace", "-f", *options, "-p", str(pid)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    assert tracer.stderr is not None
    try:
        if "attached" not in (said := tracer.stderr.readline()):
            raise PermissionError(said)
        yield
    finally:
        if "attached" not in said:
            tracer.terminate()
        tracer.stderr.close()
        tracer.wait()


# ---------------------------------------------------------------------------------------------------------------------
# The maker's side.


def _main(number: int) -> None:
    sys.path[:0] = [str(TESTS), str(TESTS.parent)]
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for module in ("faults.day",):  # all that a child will need
        importlib.import_module(module)
    line = socket.socket(fileno=number)
    while True:
        order, fds, _, _ = socket.recv_fds(line, 1 << 18, 1)
        if not order:
            return
        if not fds:
            for module in json.loads(order)["modules"]:
                with contextlib.suppress(Exception):
                    importlib.import_module(module)
            line.sendall(b".")
            continue
        told = socket.socket(fileno=fds[0])
        middle = os.fork()
        if middle == 0:
            _guard(json.loads(order), told)
            os._exit(0)
        told.close()


def _guard(order: Any, told: socket.socket) -> None:
    """Fork the child proper and tell how it ended: a killed one cannot tell itself."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if child == 0:
        told.sendall(str(os.getpid()).encode())
        status = 1
        try:
            if told.recv(1):
                module, _, name = order["call"].partition(":")
                result = getattr(importlib.import_module(module), name)(**order["given"])
                told.sendall(json.dumps({"told": result}).encode() + b"\n")
                status = 0
        except BaseException:  # noqa: BLE001 (shown, and told by the status)
            traceback.print_exc()
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(BrokenPipeError):
        told.sendall(json.dumps({"status": status}).encode() + b"\n")


if __name__ == "__main__":
    _main(int(sys.argv[1]))

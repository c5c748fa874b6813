"""A socket that never blocks: what is written leaves as there is room, what arrives is kept until it is asked for.

So one process can talk on several connections at once. Waiting is done in one place, for all of them together.
"""

from __future__ import annotations

import math
import select
import socket
import ssl
from collections.abc import Sequence
from typing import Any

_AT_ONCE = 65_536
_FULL = (BlockingIOError, ssl.SSLWantWriteError)
_WAITS = (*_FULL, ssl.SSLWantReadError)


class Wire:
    """Bytes to and from one server. A line that broke is seen by ``broken``; what had arrived before can be read."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.number = sock.fileno()
        self.arrived = bytearray()
        self.broken = False
        self._secured = isinstance(sock, ssl.SSLSocket)
        self._unsent = b""
        self._must_read = False  #: TLS wants to hear something before it says more
        self._poll: Any = None  #: waits for this line alone

    @property
    def sending(self) -> bool:
        """Tell whether some of what was written has not left yet."""
        return bool(self._unsent) and not (self.broken or self._must_read)

    def write(self, data: bytes) -> None:
        """Send, all of it or as much as there is room for; the rest leaves while ``wait`` waits."""
        self._unsent = self._unsent + data if self._unsent else data
        self._flush()

    def look(self) -> None:
        """Take what has arrived, if anything has."""
        try:
            while more := self.sock.recv(_AT_ONCE):
                self.arrived += more
                if not self._secured:  # else bytes may lie decrypted, where no waiting sees them
                    return
            self.broken = True
        except _WAITS:
            pass
        except OSError:
            self.broken = True

    def handle(self) -> None:
        """Do what can be done after ``wait``."""
        self.look()
        self._must_read = False
        if self._unsent and not self.broken:
            self._flush()

    def _flush(self) -> None:
        try:
            while self._unsent:
                self._unsent = self._unsent[self.sock.send(self._unsent) :]
        except _FULL:
            pass
        except ssl.SSLWantReadError:
            self._must_read = True
        except OSError:
            self.look()  # the server may have said why before it hung up
            self.broken = True

    def wait(self, seconds: float) -> None:
        """Wait until something happens on this line, or so many seconds, and do what can be done on it."""
        if not hasattr(select, "poll"):
            wait([self], seconds)
            return
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self.number, select.POLLIN)
        if self.sending:
            self._poll.modify(self.number, select.POLLIN | select.POLLOUT)
        found = self._poll.poll(math.ceil(seconds * 1000))
        if self.sending:
            self._poll.modify(self.number, select.POLLIN)
        if found:
            self.handle()


def wait(wires: Sequence[Wire], seconds: float) -> None:
    """Wait until something happens on one of the lines, or so many seconds, and do what can be done on them."""
    by_number = {each.number: each for each in wires}
    sending = [each.number for each in wires if each.sending]
    if hasattr(select, "poll"):
        poll = select.poll()
        for number in by_number:
            poll.register(number, select.POLLIN)
        for number in sending:
            poll.register(number, select.POLLIN | select.POLLOUT)
        ready = {number for number, _ in poll.poll(math.ceil(seconds * 1000))}
    else:
        readable, writable, _ = select.select(by_number, sending, [], seconds)
        ready = {*readable, *writable}
    for number in ready:
        by_number[number].handle()

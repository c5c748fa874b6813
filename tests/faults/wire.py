"""A mail server that takes everything, and keeps envelope and bytes as they were when its dots were taken out."""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass, field

_OFFERS = b"250-wire\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE 100000000\r\n"


@dataclass
class Letter:
    """What one DATA brought. Commands are kept as they came: a hidden one would be seen."""

    sender: bytes = b""
    recipients: list[bytes] = field(default_factory=list)
    data: bytes = b""


class Wire:
    """``letters`` in the order in which they came; ``strange`` are lines that no client of ours should write."""

    def __init__(self) -> None:
        self.letters: list[Letter] = []
        self.strange: list[bytes] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)  # else whoever waits for its next line goes on waiting
        self._server.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, line: socket.socket) -> None:
        letter = Letter()
        with contextlib.suppress(OSError), line, line.makefile("rb") as lines:
            line.sendall(b"220 wire ESMTP\r\n")
            for said in lines:
                word = said[:4].upper()
                answer = b"250 ok\r\n"
                if word == b"EHLO":
                    answer = _OFFERS
                elif word == b"MAIL":
                    letter = Letter(sender=said)
                elif word == b"RCPT":
                    letter.recipients.append(said)
                elif word == b"DATA":
                    line.sendall(b"354 go on\r\n")
                    letter.data = b"".join(self._unstuffed(lines))
                    self.letters.append(letter)
                elif word == b"QUIT":
                    answer = b"221 bye\r\n"
                elif word not in (b"RSET", b"NOOP", b"HELO"):
                    self.strange.append(said)
                line.sendall(answer)

    def _unstuffed(self, lines):
        for each in lines:
            if each == b".\r\n":
                return
            yield each[1:] if each.startswith(b".") else each

"""A mail server that accepts everything and remembers what it accepted before it says so. Tells of every line it hears."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from email import message_from_bytes


class SmtpSink:
    """``heard`` is called with the command (``DOT`` for the end of a message) before it is answered."""

    def __init__(self) -> None:
        self.accepted: list[str] = []  #: Message-IDs
        self.recipients: list[str] = []
        self.senders: list[str] = []  #: of the envelopes
        self.heard: Callable[[str], object] = lambda _: None
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it. One that went on waiting could take the next server's lines, which gets the same descriptor."""
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._thread.join(60)
        self._server.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as lines:
            connection.sendall(b"220 sink\r\n")
            while line := lines.readline():
                word = line.split()[0].decode().upper()
                if word == "RCPT":
                    self.recipients.append(line.decode().partition("<")[2].partition(">")[0])
                if word == "MAIL":
                    self.senders.append(line.decode().partition("<")[2].partition(">")[0])
                self.heard(word)
                if word != "DATA":
                    connection.sendall(b"221 bye\r\n" if word == "QUIT" else b"250 ok\r\n")
                    continue
                connection.sendall(b"354 go on\r\n")
                body = b""
                while (line := lines.readline()) != b".\r\n":
                    if not line:
                        return  # gone before the dot: never accepted
                    body += line
                self.accepted.append(message_from_bytes(body)["Message-ID"])
                self.heard("DOT")
                connection.sendall(b"250 2.0.0 queued as Q1\r\n")

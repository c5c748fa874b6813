"""The other side: a mail server and Twilio's double that nobody kills, and that remember what they accepted.

A message is written down before the reply goes out; ``settled`` tells when nothing that a dead worker sent is still read.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import threading
from collections import Counter
from collections.abc import Callable
from email import message_from_bytes
from email.utils import format_datetime
from urllib.parse import parse_qs

from dispatch.world import NOW

ACCOUNT = "AC0123456789abcdef0123456789abcdef"
#: As most mail servers it may be told of the next message in one breath with a dot.
_SAID = {"EHLO": b"250-witness\r\n250 PIPELINING\r\n", "QUIT": b"221 bye\r\n"}


class Witness:
    """``accepted`` counts Message-IDs (email) and numbers (SMS). ``mail_port`` and ``sms_port`` listen on this machine.

    ``seen`` is called with the key of each message at the moment of its acceptance, before it is answered.
    ``heard`` is called with every word of SMTP (``DOT`` for the end of a message) and with ``POST``.
    """

    def __init__(self) -> None:
        self.accepted: Counter[str] = Counter()
        self.seen: Callable[[str], object] = lambda _: None
        self.heard: Callable[[str], object] = lambda _: None
        self._texts: list[dict[str, str]] = []
        self._open: set[socket.socket] = set()
        self._changed = threading.Condition()
        self._servers = [socket.create_server(("127.0.0.1", 0), backlog=64) for _ in range(2)]
        self.mail_port, self.sms_port = (server.getsockname()[1] for server in self._servers)
        for server, talk in zip(self._servers, (self._mail, self._http), strict=True):
            threading.Thread(target=self._serve, args=(server, talk), daemon=True).start()

    def close(self) -> None:
        for server in self._servers:
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            server.close()

    def forget(self) -> None:
        """Begin anew."""
        self.settled()
        self.accepted.clear()
        self._texts.clear()

    def counted(self) -> Counter[str]:
        """Give what was accepted until now."""
        with self._changed:
            return self.accepted.copy()

    def settled(self) -> None:
        """Wait until every line that was opened so far is read to its end. Whoever opened one is dead or done."""
        self._knock()
        with self._changed:
            if not self._changed.wait_for(lambda: not self._open, timeout=60):
                raise TimeoutError("a worker that should be gone still holds a line")

    def drained(self) -> None:
        """Wait until every line of a dead worker is read to its end; those of the living may stay open."""
        self._knock()
        with self._changed:
            lines = list(self._open)
        for line in lines:
            while line in self._open and _has_more(line):
                pass  # its end is there to be read, or what comes before it

    def _knock(self) -> None:
        for port in (self.mail_port, self.sms_port):
            # Lines are taken in the order in which they came: when this one is answered, all before it are counted.
            with socket.create_connection(("127.0.0.1", port)) as last:
                last.shutdown(socket.SHUT_WR)
                while last.recv(4096):
                    pass

    def _serve(self, server: socket.socket, talk: Callable[[socket.socket], None]) -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = server.accept()
                with self._changed:
                    self._open.add(line)
                threading.Thread(target=self._whole, args=(line, talk), daemon=True).start()

    def _whole(self, line: socket.socket, talk: Callable[[socket.socket], None]) -> None:
        try:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with contextlib.suppress(OSError), line:
                talk(line)
        finally:
            with self._changed:
                self._open.discard(line)
                self._changed.notify_all()

    def _accept(self, key: str) -> None:
        with self._changed:
            self.accepted[key] += 1
        self.seen(key)

    def _mail(self, line: socket.socket) -> None:
        with line.makefile("rb") as lines:
            line.sendall(b"220 witness\r\n")
            while heard := lines.readline():
                word = heard.split()[0].decode().upper()
                self.heard(word)
                if word != "DATA":
                    line.sendall(_SAID.get(word, b"250 ok\r\n"))
                    continue
                line.sendall(b"354 go on\r\n")
                body = b""
                while (heard := lines.readline()) != b".\r\n":
                    if not heard:
                        return  # gone before the dot: never accepted
                    body += heard
                self._accept(message_from_bytes(body)["Message-ID"])
                self.heard("DOT")
                line.sendall(b"250 2.0.0 queued as Q1\r\n")

    def _http(self, line: socket.socket) -> None:
        with line.makefile("rb") as lines:
            first = lines.readline().decode()
            length = 0
            while (header := lines.readline()) not in (b"\r\n", b""):
                name, _, value = header.decode().partition(":")
                length = int(value) if name.lower() == "content-length" else length
            body = lines.read(length)
            if not first or len(body) < length or (first.startswith("POST") and not length):
                return  # gone before the request was whole: never accepted
            method, target, _ = first.split(" ", 2)
            if method == "POST":
                asked = {name: values[0] for name, values in parse_qs(body.decode()).items()}
                self._answer(line, "201 Created", self._take(asked))
                return
            wanted = parse_qs(target.partition("?")[2]).get("To", [""])[0]
            found = [each for each in self._texts if each["to"] == wanted]
            self._answer(line, "200 OK", {"messages": found, "page": 0, "page_size": 50, "next_page_uri": None})

    def _take(self, asked: dict[str, str]) -> dict[str, str]:
        with self._changed:
            sid = f"SM{len(self._texts):032x}"
            sent = format_datetime(NOW)
            text = {
                "sid": sid,
                "to": asked["To"],
                "body": asked["Body"],
                "status": "queued",
                "direction": "outbound-api",
            }
            self._texts.append(text | {"date_created": sent, "date_sent": sent, "account_sid": ACCOUNT})
        self._accept(asked["To"])
        self.heard("POST")
        return self._texts[-1]

    @staticmethod
    def _answer(line: socket.socket, status: str, said: object) -> None:
        body = json.dumps(said).encode()
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        line.sendall(head.encode() + body)


def _has_more(line: socket.socket) -> bool:
    try:
        return bool(select.select([line], [], [], 0)[0])
    except (OSError, ValueError):  # closed meanwhile
        return False

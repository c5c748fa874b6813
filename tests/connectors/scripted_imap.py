"""An IMAP server on this machine with one folder of letters, which does wrong what a test tells it to."""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import ssl
import threading
from dataclasses import dataclass, field
from typing import Any, Self

CAPABLE = "IMAP4rev1 AUTH=PLAIN STARTTLS"
CLOSE, STALL = "close", "stall"


@dataclass
class Stored:
    raw: bytes
    flags: set[str] = field(default_factory=set)


class ScriptedImap:
    """``script[command]`` is what is answered instead: bytes (``%s`` is the tag), or an action. Password: ``geheim``."""

    def __init__(
        self,
        raws: list[bytes],
        script: dict[str, Any] | None = None,
        *,
        context: ssl.SSLContext | None = None,
        implicit_tls: bool = False,
        capable: str = CAPABLE,
        keywords: bool = True,
    ) -> None:
        self.letters = {number: Stored(raw) for number, raw in enumerate(raws, 11)}
        self.script = script or {}
        self.context, self.implicit_tls, self.capable, self.keywords = context, implicit_tls, capable, keywords
        self.heard: list[str] = []
        self._gone = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._gone.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, line: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            if self.implicit_tls:
                assert self.context is not None
                line = self.context.wrap_socket(line, server_side=True)
            if "greeting" in self.script:
                line.sendall(self.script["greeting"])
            else:
                line.sendall(b"* OK ready\r\n")
            lines = line.makefile("rb")
            while said := lines.readline().decode():
                tag, _, rest = said.strip().partition(" ")
                words = rest.split()
                command = " ".join(words[:2] if words[0].upper() == "UID" else words[:1]).upper()
                self.heard.append(rest)
                wrong = self.script.get(command)
                if wrong == CLOSE:
                    break
                if wrong == STALL:
                    self._gone.wait(20)
                    break
                if isinstance(wrong, bytes):
                    line.sendall(wrong.replace(b"%s", tag.encode()))
                    continue
                if command == "STARTTLS":
                    line.sendall(f"{tag} OK begin\r\n".encode())
                    assert self.context is not None
                    line = self.context.wrap_socket(line, server_side=True)
                    lines = line.makefile("rb")
                    continue
                line.sendall(self._answer(tag, command, rest, lines, line))
                if command == "LOGOUT":
                    break
        line.close()

    def _answer(self, tag: str, command: str, rest: str, lines: Any, line: socket.socket) -> bytes:
        said, end = b"", f"{tag} OK done\r\n".encode()
        match command:
            case "CAPABILITY":
                said = f"* CAPABILITY {self.capable}\r\n".encode()
            case "AUTHENTICATE":
                line.sendall(b"+ \r\n")
                words = base64.b64decode(lines.readline()).decode().split("\0")
                end = end if words == ["", "bounces", "geheim"] else f"{tag} NO who are you\r\n".encode()
            case "LOGIN" if rest != 'LOGIN "bounces" "geheim"':
                end = f"{tag} NO who are you\r\n".encode()
            case "SELECT" if rest != 'SELECT "INBOX"':
                end = f"{tag} NO no such folder\r\n".encode()
            case "SELECT":
                more = rb" \*" if self.keywords else b""
                said = (
                    f"* {len(self.letters)} EXISTS\r\n".encode()
                    + b"* OK [PERMANENTFLAGS (\\Seen \\Deleted"
                    + more
                    + b")] ok\r\n"
                )
            case "UID SEARCH":
                hidden = {r"\Seen", "RegularsLeft"} if "UNKEYWORD" in rest else {r"\Seen"}
                first, last = map(int, rest.split()[2].split(":"))
                asked = list(self.letters.items())[first - 1 : last]
                found = [str(uid) for uid, each in asked if not hidden & each.flags]
                said = f"* SEARCH {' '.join(found)}\r\n".encode()
            case "UID FETCH":
                said = self._fetch(rest)
            case "UID STORE":
                uid, flags = re.fullmatch(r"UID STORE (\d+) \+FLAGS\.SILENT \((.*)\)", rest).groups()  # type: ignore[union-attr]
                self.letters[int(uid)].flags.add(flags)
        return said + end

    def _fetch(self, rest: str) -> bytes:
        uid, most = re.fullmatch(r"UID FETCH (\d+) \(BODY\.PEEK\[\]<0\.(\d+)>\)", rest).groups()  # type: ignore[union-attr]
        raw = self.letters[int(uid)].raw[: int(most)]
        return f"* 1 FETCH (UID {uid} BODY[]<0> {{{len(raw)}}}\r\n".encode() + raw + b")\r\n"

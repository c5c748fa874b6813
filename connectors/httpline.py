"""The way to a server over HTTP: one fresh connection a request, the fence between connecting and the first byte.

A kept connection may be half dead, and one cannot tell before the request is on its way: too late for the fence.
Nothing is logged here: a request holds addresses and texts.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from connectors.deadline import Deadline


class NotReachedError(Exception):
    """No connection: nothing has left this machine."""


class FenceClosedError(Exception):
    """``handoff()`` said no: nothing has left this machine."""


class LostError(Exception):
    """The request was on its way, and no reply came back, or not the whole of it."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The first line of a reply, and when to come back."""

    status: int
    retry_after: str


class Line:
    """A socket that keeps one deadline over all its calls, however slowly the other side drips."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock = sock
        self.deadline = deadline

    def sendall(self, data: bytes) -> None:
        """Send all of it."""
        view = memoryview(data)
        while view:
            self._sock.settimeout(self.deadline.left())
            view = view[self._sock.send(view) :]

    def makefile(self, mode: str) -> io.BufferedReader:  # noqa: ARG002 (http.client asks for "rb" only)
        """Give a reader of what comes back."""
        return io.BufferedReader(_Reader(self))

    def receive_into(self, buffer: memoryview) -> int:
        """Read what is there, within the deadline."""
        self._sock.settimeout(self.deadline.left())
        return self._sock.recv_into(buffer)

    def close(self) -> None:
        """Hang up."""
        self._sock.close()


class _Reader(io.RawIOBase):
    def __init__(self, line: Line) -> None:
        self._line = line

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # io hands a memoryview
        return self._line.receive_into(buffer)


def connect(host: str, port: int, *, seconds: float, secure: bool, context: ssl.SSLContext | None) -> Line:
    """Open a line, with TLS where ``secure``. ``NotReachedError`` for whatever prevents it within ``seconds``."""
    deadline = Deadline(seconds)
    try:
        sock = socket.create_connection((host, port), deadline.left())
    except (OSError, UnicodeError):
        raise NotReachedError from None
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if secure:
            sock.settimeout(deadline.left())
            sock = (context or ssl.create_default_context()).wrap_socket(sock, server_hostname=host)
    except OSError:
        sock.close()
        raise NotReachedError from None
    return Line(sock, deadline)


def post(
    url: str,
    message: tuple[bytes, Mapping[str, str]],
    handoff: Callable[[], bool],
    seconds: tuple[float, float],
    context: ssl.SSLContext | None,
) -> Reply:
    """Post a body with headers once, with the fence before the first byte; ``seconds`` bound the connecting, the rest.

    The body of the reply is not waited for. Raises ``NotReachedError``, ``FenceClosedError`` or ``LostError``.
    """
    parts, (body, headers) = urlsplit(url), message
    secure = parts.scheme == "https"
    target = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    port = parts.port or (443 if secure else 80)
    connection = http.client.HTTPConnection(parts.hostname or "", port)
    try:
        line = connect(parts.hostname or "", port, seconds=seconds[0], secure=secure, context=context)
        connection.sock = line  # it has the few methods of a socket that http.client uses
        if not handoff():
            raise FenceClosedError
        line.deadline = Deadline(seconds[1])
        try:
            connection.request("POST", target, body, {**headers, "Host": parts.netloc, "Connection": "close"})
            reply = connection.getresponse()
        except (OSError, http.client.HTTPException, ValueError):
            raise LostError from None
        return Reply(reply.status, reply.headers.get("Retry-After", ""))
    finally:
        connection.close()


def retry_at(retry_after: str, now: datetime) -> datetime | None:
    """Read Retry-After, in seconds or as a date; at least a second and at most an hour from ``now``."""
    if retry_after.strip().isdecimal():
        seconds = retry_after.strip().lstrip("0") or "0"
        wait = timedelta(hours=1) if len(seconds) > len("3600") else timedelta(seconds=int(seconds))
    else:
        try:
            at = parsedate_to_datetime(retry_after)
        except (ValueError, OverflowError):
            return None
        wait = (at if at.tzinfo else at.replace(tzinfo=UTC)) - now
    return now + max(timedelta(seconds=1), min(wait, timedelta(hours=1)))

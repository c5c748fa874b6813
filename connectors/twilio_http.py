"""The way to Twilio's network: one fresh connection a request, the fence between connecting and the first byte.

A kept connection may be half dead, and one cannot tell before the request is on its way: too late for the fence.
Nothing is logged here: the request holds the number and the text.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
from base64 import b64encode
from collections.abc import Callable, Mapping
from urllib.parse import urlencode, urlsplit

from twilio.http import HttpClient
from twilio.http.response import Response

from connectors.deadline import Deadline

_LARGEST_BODY = 1_000_000


class NotReachedError(Exception):
    """No connection: nothing has left this machine."""


class FenceClosedError(Exception):
    """``handoff()`` said no: nothing has left this machine."""


class LostError(Exception):
    """The request was on its way, and no whole reply came back."""


class FencedHttpClient(HttpClient):  # type: ignore[misc]  # the package has no types
    """Twilio's ``HttpClient`` with deadlines and the fence. ``status`` and ``retry_after`` are of the last reply."""

    def __init__(self, connect_seconds: float, reply_seconds: float, context: ssl.SSLContext | None) -> None:
        self.is_async = False
        self.handoff: Callable[[], bool] = lambda: True
        self.status: int | None = None
        self.retry_after = ""
        self._connect_seconds = connect_seconds
        self._reply_seconds = reply_seconds
        self._context = context

    def fence(self, handoff: Callable[[], bool]) -> None:
        """Begin anew: ``handoff`` is asked before the first byte of the next request."""
        self.handoff, self.status, self.retry_after = handoff, None, ""

    def request(  # noqa: PLR0917 (the client's signature)
        self,
        method: str,
        uri: str,
        params: Mapping[str, object] | None = None,
        data: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,  # noqa: ARG002 (the client's signature; the deadlines are ours)
        allow_redirects: bool = False,  # noqa: ARG002 (a redirected POST could be made twice: never followed)
    ) -> Response:
        """Make one request; any reply is returned. ``NotReachedError``, ``FenceClosedError`` or ``LostError`` else."""
        url = urlsplit(uri)
        path = (url.path or "/") + (f"?{urlencode(params, doseq=True)}" if params else "")
        body = urlencode(data, doseq=True).encode() if data else None
        sent_headers = {**(headers or {}), "Host": url.netloc, "Connection": "close"}
        if auth is not None:
            sent_headers["Authorization"] = "Basic " + b64encode(":".join(auth).encode()).decode("ascii")
        port = url.port or (443 if url.scheme == "https" else 80)
        connection = http.client.HTTPConnection(url.hostname or "", port)
        try:
            line = self._connect(url.hostname or "", port, secure=url.scheme == "https")
            connection.sock = line  # it has the few methods of a socket that http.client uses
            if not self.handoff():
                raise FenceClosedError
            line.deadline = Deadline(self._reply_seconds)
            return self._exchange(connection, method, path, body, sent_headers)
        finally:
            connection.close()

    def _connect(self, host: str, port: int, *, secure: bool) -> _Line:
        deadline = Deadline(self._connect_seconds)
        try:
            sock = socket.create_connection((host, port), deadline.left())
        except (OSError, UnicodeError):
            raise NotReachedError from None
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if secure:
                sock.settimeout(deadline.left())
                context = self._context or ssl.create_default_context()
                sock = context.wrap_socket(sock, server_hostname=host)
        except OSError:
            sock.close()
            raise NotReachedError from None
        return _Line(sock, deadline)

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes | None,
        headers: dict[str, str],
    ) -> Response:
        try:
            connection.request(method.upper(), path, body, headers)
            reply = connection.getresponse()
        except (OSError, http.client.HTTPException, ValueError):
            raise LostError from None
        self.status = reply.status
        self.retry_after = reply.headers.get("Retry-After", "")
        try:
            text = reply.read(_LARGEST_BODY).decode("utf-8", "replace")
            if reply.length:
                raise http.client.IncompleteRead(b"", reply.length)
        except (OSError, http.client.HTTPException, ValueError):
            if not 400 <= reply.status < 500:  # noqa: PLR2004 (a client's error stands, whatever becomes of its text)
                raise LostError from None
            text = ""
        return Response(reply.status, text, dict(reply.headers))


class _Line:
    """A socket that keeps one deadline over all its calls, however slowly the other side drips."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock = sock
        self.deadline = deadline

    def sendall(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            self._sock.settimeout(self.deadline.left())
            view = view[self._sock.send(view) :]

    def makefile(self, mode: str) -> io.BufferedReader:  # noqa: ARG002 (http.client asks for "rb" only)
        return io.BufferedReader(_Reader(self))

    def receive_into(self, buffer: memoryview) -> int:
        self._sock.settimeout(self.deadline.left())
        return self._sock.recv_into(buffer)

    def close(self) -> None:
        self._sock.close()


class _Reader(io.RawIOBase):
    def __init__(self, line: _Line) -> None:
        self._line = line

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # io hands a memoryview
        return self._line.receive_into(buffer)

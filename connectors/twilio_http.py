"""Twilio's client on our way to its network (``httpline``), with the fence between connecting and the first byte."""

from __future__ import annotations

import http.client
import ssl
from base64 import b64encode
from collections.abc import Callable, Mapping
from urllib.parse import urlencode, urlsplit

from twilio.http import HttpClient
from twilio.http.response import Response

from connectors.deadline import Deadline
from connectors.httpline import FenceClosedError, LostError, connect

_LARGEST_BODY = 1_000_000


class FencedHttpClient(HttpClient):  # type: ignore[misc]  # the package has no types
    """Twilio's ``HttpClient`` with deadlines and the fence; it keeps what the last reply said."""

    def __init__(self, connect_seconds: float, reply_seconds: float, context: ssl.SSLContext | None) -> None:
        self.is_async = False
        self.handoff: Callable[[], bool] = lambda: True
        self.status: int | None = None
        self.retry_after = ""
        self.text = ""
        self._connect_seconds = connect_seconds
        self._reply_seconds = reply_seconds
        self._context = context

    def fence(self, handoff: Callable[[], bool]) -> None:
        """Begin anew: ``handoff`` is asked before the first byte of the next request."""
        self.handoff, self.status, self.retry_after, self.text = handoff, None, "", ""

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
            secure = url.scheme == "https"
            line = connect(
                url.hostname or "", port, seconds=self._connect_seconds, secure=secure, context=self._context
            )
            connection.sock = line  # it has the few methods of a socket that http.client uses
            if not self.handoff():
                raise FenceClosedError
            line.deadline = Deadline(self._reply_seconds)
            return self._exchange(connection, method, path, body, sent_headers)
        finally:
            connection.close()

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
        self.text = text
        return Response(reply.status, text, dict(reply.headers))

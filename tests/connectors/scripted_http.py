"""A server of HTTP on this machine, whose one answer the test writes, or how it hangs up."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

CLOSE, RESET, STALL, DRIP = "close", "reset", "stall", "drip"


class ScriptedServer:
    """Gives each request the same answer; keeps the requests, and whether a byte came before the fence was asked."""

    read = staticmethod(bytes)  #: what is kept of a body

    def __init__(self, answer, *, context=None, before_request=None):
        self.answer = answer
        self.context = context
        self.before_request = before_request
        self.requests = []
        self.fence_open = threading.Event()
        self.byte_before_fence = False
        self._gone = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._gone.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        assert not self._thread.is_alive()

    def _serve(self):
        while not self._gone.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(5)
            with contextlib.suppress(OSError):
                if self.context is not None:
                    sock = self.context.wrap_socket(sock, server_side=True)
                self._talk(sock)
            sock.close()

    def _talk(self, sock):
        got = sock.recv(65536)
        if not got:
            return
        self.byte_before_fence |= not self.fence_open.is_set()
        while b"\r\n\r\n" not in got:
            got += sock.recv(65536)
        head, _, body = got.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        while len(body) < int(headers.get("content-length", "0")):
            body += sock.recv(65536)
        self.requests.append((lines[0], headers, self.read(body)))
        if isinstance(self.answer, bytes):
            sock.sendall(self.answer)
        elif self.answer == RESET:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif self.answer == STALL:
            while sock.recv(65536):
                pass
        elif self.answer == DRIP:
            sock.sendall(b"HTTP/1.1 201 Created\r\n")
            while not self._gone.wait(0.01):
                sock.sendall(b"X-Drip: 1\r\n")

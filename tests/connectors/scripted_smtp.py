"""An SMTP server on this machine that does what a test tells it to, and remembers what it saw."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import struct
import threading

from connectors.base import Outcome
from connectors.smtp import SmtpConnector

PIPELINING = b"250-localhost\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SIZE 100000000\r\n250 SMTPUTF8\r\n"

CLOSE, RESET, STALL, DRIP, DEAF, GO_PLAIN = "close", "reset", "stall", "drip", "deaf", "go plain"

GOOD = {
    "greeting": b"220 ready\r\n",
    "EHLO": b"250-localhost\r\n250-8BITMIME\r\n250-SIZE 100000\r\n250-AUTH PLAIN LOGIN\r\n250 SMTPUTF8\r\n",
    "AUTH": b"235 2.7.0 welcome\r\n",
    "STARTTLS": b"220 go ahead\r\n",
    "MAIL": b"250 2.1.0 ok\r\n",
    "RCPT": b"250 2.1.5 ok\r\n",
    "DATA": b"354 go ahead\r\n",
    "dot": b"250 2.0.0 Ok: queued as 4F2A9C01B2\r\n",
    "RSET": b"250 2.0.0 ok\r\n",
    "NOOP": b"250 2.0.0 ok\r\n",
    "QUIT": b"221 2.0.0 bye\r\n",
}


class ScriptedSmtp:
    """Answers each phase as ``script`` says, well by default. ``script[phase]`` is bytes, an action, or a list of them.

    It may be a function too: of the recipient that the connection was told of.
    """

    def __init__(self, script=None, *, context: ssl.SSLContext | None = None, implicit_tls=False):
        self.script = {phase: list(what) if isinstance(what, list) else what for phase, what in (script or {}).items()}
        self.context = context
        self.implicit_tls = implicit_tls
        self.commands: list[str] = []
        self.with_mail: list[bytes] = []  # what had come together with each MAIL
        self.accepted: list[bytes] = []  # bodies answered with 2xx after the dot
        self.dots: list[bytes] = []  # bodies whose dot arrived, whatever the answer
        self.connections = 0
        self.fence_open = threading.Event()  # set by the test's handoff
        self.dot_before_fence = False
        self.plain_after_tls = b""
        self._body_so_far = threading.Condition()
        self._body = b""
        self._gone = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._threads[0].start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._gone.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()

    def wait_for_body(self, ending: bytes) -> bytes:
        """Wait until the body as far as it has arrived ends so; gives it."""
        with self._body_so_far:
            assert self._body_so_far.wait_for(lambda: self._body.endswith(ending), 5), "the body did not arrive"
            return self._body

    def _serve(self):
        while not self._gone.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._talk, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _talk(self, sock):
        with contextlib.suppress(OSError), contextlib.closing(_Line(sock)) as line:
            if self.implicit_tls:
                line.secure(self.context)
            self._conversation(line)

    def _conversation(self, line):
        if not self._answer(line, "greeting"):
            return
        while command := line.read_line():
            text = command.decode("utf-8", "replace").strip()
            self.commands.append(text)
            word = text.split(" ")[0].split(":")[0].upper()
            phase = {"HELO": "EHLO"}.get(word, word)
            if phase == "MAIL":
                self.with_mail.append(line.unread)
            if phase == "RCPT":
                line.recipient = text.partition("<")[2].partition(">")[0]
            if not self._answer(line, phase):
                return
            if phase == "QUIT":
                return
            if phase == "STARTTLS":
                line.secure(self.context)
            if phase == "DATA" and line.last.startswith(b"354") and not self._take_body(line):
                return

    def _take_body(self, line):
        if "body" in self.script and not self._answer(line, "body"):
            return False
        body = b""
        with self._body_so_far:
            self._body = b""
        while b"\r\n.\r\n" not in body[-80_000:]:
            more = line.read_some()
            if not more:
                return False
            body += more
            with self._body_so_far:
                self._body = body
                self._body_so_far.notify_all()
        body, dot, line.unread = body.partition(b"\r\n.\r\n")
        body += dot
        self.dot_before_fence |= not self.fence_open.is_set()
        self.dots.append(body)
        line.body = body
        return self._answer(line, "dot")

    def _answer(self, line, phase):
        what = self.script.get(phase, GOOD.get(phase, b"500 5.5.1 what?\r\n"))
        if callable(what):
            told = what(line.recipient)
            what = GOOD[phase] if told is None else told
        if isinstance(what, list):
            what = what.pop(0) if what else GOOD[phase]
        if isinstance(what, bytes):
            if phase == "dot" and what.startswith(b"2"):  # noted before anybody can know
                self.accepted.append(line.body)
            line.write(what)
            return True
        if what == RESET:
            line.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif what == STALL:
            line.wait_until_closed()
        elif what == DEAF:  # reads no more
            self._gone.wait(5)
        elif what == DRIP:
            with contextlib.suppress(OSError):
                line.write(b"250-")
                while not self._gone.wait(0.01):
                    line.write(b"x")
        return False


class _Line:
    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(5)
        self.unread = b""
        self.last = b""
        self.recipient = ""
        self.body = b""

    def secure(self, context):
        self.sock = context.wrap_socket(self.sock, server_side=True)

    def read_line(self):
        while b"\n" not in self.unread:
            more = self.sock.recv(65536)
            if not more:
                return b""
            self.unread += more
        line, _, self.unread = self.unread.partition(b"\n")
        return line + b"\n"

    def read_some(self):
        more, self.unread = self.unread or self.sock.recv(65536), b""
        return more

    def write(self, data):
        self.last = data
        self.sock.sendall(data)

    def wait_until_closed(self):
        with contextlib.suppress(OSError):
            while self.sock.recv(65536):
                pass

    def close(self):
        self.sock.close()


def credentials_in(commands):
    """Everything that was sent in AUTH, decoded."""
    return [
        base64.b64decode(part) for command in commands if command.startswith("AUTH") for part in command.split()[2:]
    ]


# What the tests do with it, and the verdicts of the table.

BEFORE = ["greeting", "EHLO", "MAIL", "RCPT", "DATA"]
NAMED = ["RCPT", "DATA"]
QUICK = dict.fromkeys(
    ["connect", "greeting", "EHLO", "STARTTLS", "TLS", "AUTH", "MAIL", "RCPT", "DATA", "body", "dot"], 5.0
)


def connector(server, **options):
    options.setdefault("tls", "none")
    options.setdefault("deadlines", QUICK)
    return SmtpConnector("localhost" if options["tls"] != "none" else "127.0.0.1", server.port, **options)


def send(server, letter, *, permitted=True, **options):
    asked = []

    def handoff():
        asked.append(True)
        server.fence_open.set()
        return permitted

    carrier = connector(server, **options)
    outcome = carrier.send(letter, handoff)
    carrier.close()
    return outcome, len(asked)


def verdict(outcome: Outcome):
    return outcome.kind, outcome.endpoint, outcome.channel, outcome.counts_attempt


NOT_NOW = ("not_now", "ok", "ok", True)
TRIPPED = ("not_now", "ok", "failure", True)
STOPPED = ("not_now", "ok", "stop", False)
NO = ("no", "ok", "ok", True)
HARD = ("no", "hard", "ok", True)
SOFT = ("no", "soft", "ok", True)
POLICY = ("no", "ok", "breaker", True)
UNKNOWN = ("unknown", "ok", "failure", True)

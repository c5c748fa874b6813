"""A mail server that fails: each phase in each way, each reply after the dot, and lines that cannot be trusted.

Each try is a whole run: a queued message goes through ``send_due`` to a server with one fault, the row and its channel are
held against the table of dispatch, and then runs go on with a good server. The server is the witness: a dot that it did
not refuse is a message that it has.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from dispatch.world import NOW, Cafe, Clock, a_desk, a_home
from sqlalchemy import delete, select

from connectors.smtp import SmtpConnector
from engine.database.tables import channels, endpoints
from engine.dispatch import health
from engine.dispatch.links import message_id
from engine.dispatch.stages import send_due

from .places import place
from .tally import Counts, MissingError, Scale, Tally, reconcile

sys.path.insert(0, str(Path(__file__).parents[1] / "connectors"))
from scripted_smtp import CLOSE, DRIP, GOOD, RESET, STALL, ScriptedSmtp

SENDER = "hello@corner.example"
OFFERS = b"250-localhost\r\n250-8BITMIME\r\n250 STARTTLS\r\n"
#: Short where the server is meant to keep us waiting, long enough for a machine under load.
QUICK = dict.fromkeys(
    ["connect", "greeting", "EHLO", "STARTTLS", "TLS", "AUTH", "MAIL", "RCPT", "DATA", "body", "dot"], 20.0
)


@dataclass(frozen=True)
class Case:
    """One fault, and what the table says of it: (state, attempts used) and what becomes of channel and address."""

    name: str
    phase: str  #: where it happens
    script: dict[str, Any]
    state: str = "pending"
    attempts: int = 0
    channel: str = ""  #: failure, breaker, stop; nothing: as before
    suppressed: bool = False
    refused: bool = False  #: the dot was answered with a no: the server does not have it
    certificate: str = "good"
    tls: str = ""
    nobody: bool = False  #: nobody listens
    waits: bool = field(default=False)  #: only a deadline ends it


def at_phase(phase: str, what: Any, **expected: Any) -> Case:
    script: dict[str, Any] = {"EHLO": GOOD["EHLO"], phase: what}
    tls = "starttls" if phase == "STARTTLS" else ""
    if tls:
        script["EHLO"] = OFFERS
    shown = what.decode().strip()[:20] if isinstance(what, bytes) else what
    return Case(f"{phase} {shown}", phase, script, tls=tls, waits=what in (STALL, DRIP), **expected)


def phases() -> Iterator[Case]:
    """Seven phases: refused, closed, reset, silent, nonsense, 421, 4xx, 5xx."""
    yield Case("connect refused", "connect", {}, channel="failure", nobody=True)
    for phase in ("greeting", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA"):
        for what in (CLOSE, RESET, STALL, DRIP, b"hello?\r\n", b"250-a\r\n550 b\r\n", b"2" * 3000 + b"\r\n"):
            yield at_phase(phase, what, channel="failure")
        yield at_phase(phase, b"421 4.3.2 closing\r\n", channel="failure")
        yield at_phase(phase, b"451 4.3.0 later\r\n", attempts=1)
        yield at_phase(phase, b"454 4.7.0 not now\r\n", channel="stop")
        yield at_phase(phase, b"530 5.7.0 sign in first\r\n", channel="stop")
    for phase in ("greeting", "EHLO"):
        yield at_phase(phase, b"554 5.3.2 not here\r\n", channel="breaker")
    yield at_phase("STARTTLS", b"501 5.5.4 what?\r\n", channel="stop")
    yield at_phase("AUTH", b"535 5.7.8 no\r\n", channel="stop")
    yield at_phase("MAIL", b"553 5.1.8 bad sender\r\n", state="rejected", attempts=0, channel="breaker")
    for phase in ("RCPT", "DATA"):
        yield from refusals(phase)


def refusals(phase: str) -> Iterator[Case]:
    """What is a definite no wherever the recipient is known."""
    gone: dict[str, Any] = {"state": "rejected", "attempts": 1, "refused": True}
    blamed = {**gone, "attempts": int(phase == "dot"), "channel": "breaker"}
    yield at_phase(phase, b"550 5.1.1 no such user\r\n", suppressed=True, **gone)
    yield at_phase(phase, b"552 5.2.2 mailbox full\r\n", **gone)
    yield at_phase(phase, b"552 5.3.4 too big\r\n", **gone)
    yield at_phase(phase, b"555 5.5.4 what?\r\n", **gone)
    yield at_phase(phase, b"554 5.7.1 spam\r\n", **blamed)


def after_the_dot() -> Iterator[Case]:
    """Every reply to the dot."""
    for what in (b"250 2.0.0 queued as 4F2A9C01B2\r\n", b"259 fine\r\n", b"250-one\r\n250 two\r\n"):
        yield at_phase("dot", what, state="sent", attempts=1)
    for what in (b"451 4.3.0 later\r\n", b"421 4.3.2 closing\r\n", b"452 4.2.2 full\r\n"):
        yield at_phase("dot", what, attempts=1, refused=True)
    yield from refusals("dot")
    endless = b"".join(b"250-%d\r\n" % number for number in range(20_000))
    for what in (b"hello?\r\n", b"\r\n", b"2" * 3000 + b"\r\n", endless, b"354 go on\r\n", b"250-a\r\n550 b\r\n"):
        yield at_phase("dot", what, state="uncertain", attempts=1, channel="failure")
    for what in (CLOSE, RESET, STALL, DRIP):
        yield at_phase("dot", what, state="uncertain", attempts=1, channel="failure")


def lines() -> Iterator[Case]:
    """Lines that a password and a guest's address must not be said on."""
    secured = {"EHLO": OFFERS}
    for bad in ("expired", "elsewhere", "self-signed"):
        yield Case(f"certificate {bad}", "TLS", secured, channel="stop", certificate=bad, tls="starttls")
        yield Case(f"certificate {bad}, tls", "TLS", {}, channel="stop", certificate=bad, tls="tls")
    yield Case("STARTTLS stripped", "EHLO", {}, channel="stop", tls="starttls")
    injected = {**secured, "STARTTLS": b"220 go\r\n250-localhost\r\n250 AUTH PLAIN\r\n"}
    yield Case("plaintext after STARTTLS", "STARTTLS", injected, channel="stop", tls="starttls")


# ---------------------------------------------------------------------------------------------------------------------
# A try.


class Post:
    """A cafe whose mail goes to servers with faults."""

    def __init__(self, db: Any, root: Path) -> None:
        self.cafe, self.home, self.clock = Cafe(db), a_home(root), Clock()
        self.accepted: Counter[str] = Counter()
        self.keys: dict[str, int] = {}
        self.wrong: list[str] = []

    def tried(self, case: Case) -> None:
        """Send one message to a server with that fault, look at it, and go on with a good one."""
        cafe, self.clock.at = self.cafe, NOW
        with cafe.db.begin() as conn:
            conn.execute(delete(channels))
        guest = cafe.guest()
        number = cafe.message(guest)
        self.keys[message_id(self.home.key, number, SENDER)] = number
        with ScriptedSmtp(
            case.script, context=contexts().get(case.certificate), implicit_tls=case.tls == "tls"
        ) as server:
            server.fence_open.set()
            options: dict[str, Any] = (
                {"user": "hello", "password": "s3cret"} if case.phase == "AUTH" or case.tls else {}
            )
            port = unused() if case.nobody else server.port
            self._run(port, {**QUICK, **({case.phase: 0.3} if case.waits else {})}, case.tls or "none", options)
            self._count(server, refused=case.refused)
            said = [each for each in server.commands if each.upper().startswith(("AUTH", "MAIL", "RCPT"))]
        if case.tls and said:
            self.wrong.append(f"{case.name}: said {said[0].split()[0]} on a line that cannot be trusted")
        self._held(case, number, guest.email_id)
        self._go_on(number)

    def _run(self, port: int, deadlines: dict[Any, float], tls: Any, options: dict[str, Any]) -> None:
        host = "localhost" if tls != "none" else "127.0.0.1"
        context = contexts()["trusting"] if tls != "none" else None
        mail = SmtpConnector(host, port, tls, deadlines=deadlines, context=context, **options)
        desk = a_desk(self.cafe, self.home, self.clock, email=mail)
        try:
            send_due(desk)
        finally:
            desk.close()

    def _count(self, server: ScriptedSmtp, *, refused: bool) -> None:
        for body in [] if refused else server.dots:
            self.accepted[message_from_bytes(body)["Message-ID"]] += 1

    def _held(self, case: Case, number: int, endpoint: int) -> None:
        row = self.cafe.row(number)
        with self.cafe.db.begin() as conn:
            found = conn.execute(select(channels).where(channels.c.channel == "email")).one_or_none()
            suppressed = conn.scalar(select(endpoints.c.suppressed_at).where(endpoints.c.id == endpoint)) is not None
        channel = ""
        if found is not None:
            tripped = "breaker" if found.failures >= health.FAILURES else "failure" if found.failures else ""
            channel = "stop" if found.stopped_at is not None else tripped
        now = (row.state, row.attempts, channel, suppressed)
        if now != (case.state, case.attempts, case.channel, case.suppressed):
            wanted = (case.state, case.attempts, case.channel, case.suppressed)
            self.wrong.append(f"{case.name}: is {now} ({row.provider_reply}), the table says {wanted}")

    def _go_on(self, number: int) -> None:
        """The fault is gone, a person has looked, and runs go on."""
        with self.cafe.db.begin() as conn:
            health.start(conn, by="Ana", now=self.clock())
        with ScriptedSmtp() as server:
            server.fence_open.set()
            while self.cafe.state(number) == "pending" and self.clock.at < NOW + dt.timedelta(hours=10):
                self.clock.at += dt.timedelta(minutes=20)
                self._run(server.port, QUICK, "none", {})
            self._count(server, refused=False)


def unused() -> int:
    """Give a port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        return int(closed.getsockname()[1])


def whole(
    name: str, cases: Callable[[], Iterator[Case]], part: int, made: type[Post] | None = None
) -> Callable[[Scale], Tally]:
    """Make a fault of these cases: all of them on both databases, or every ``part``-th on SQLite."""

    def fault(scale: Scale) -> Tally:
        total = Tally(name, allowed=0)
        for kind in ("sqlite", "postgres") if scale.everything else ("sqlite",):
            chosen: Sequence[Case] = list(cases())[:: 1 if scale.everything else part]
            with place(kind) as where:
                post = (made or Post)(where.db, where.root)
                for case in chosen:
                    post.tried(case)
                counts = reconcile(where.db, post.accepted, post.keys, now=NOW + dt.timedelta(hours=10))
            counts += Counts(wrong=tuple(post.wrong))
            allowed = sum(1 for case in chosen if case.state == "uncertain")
            total += Tally.of(name, len(chosen), counts, allowed=allowed)
        return total

    return fault


# ---------------------------------------------------------------------------------------------------------------------
# A server of others: postfix's smtp-sink, which refuses or drops what it is told to.

SINK = shutil.which("smtp-sink", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
_REFUSES: dict[str, Any] = {"state": "rejected", "attempts": 1, "refused": True}


def of_others() -> Iterator[Case]:
    """Its own words: 500 for a hard no, 450 for a soft one, and a line that it ends."""
    for phase in ("mail", "rcpt", "data", "."):
        yield Case(f"-r {phase}", "dot", {"-r": phase}, attempts=1, refused=True)
        yield Case(f"-f {phase}", "dot", {"-f": phase}, **_REFUSES)
        if phase != ".":
            yield Case(f"-q {phase}", "dot", {"-q": phase}, channel="failure")
    yield Case("-q .", "dot", {"-q": "."}, state="uncertain", attempts=1, channel="failure")
    yield Case("nothing", "dot", {}, state="sent", attempts=1)


class Sunk(Post):
    """The same, against smtp-sink; what it dumped is what it has."""

    def tried(self, case: Case) -> None:
        """Send one message to a sink with that fault, and go on with a good one."""
        cafe, self.clock.at = self.cafe, NOW
        with cafe.db.begin() as conn:
            conn.execute(delete(channels))
        guest = cafe.guest()
        number = cafe.message(guest)
        self.keys[message_id(self.home.key, number, SENDER)] = number
        with sink([word for pair in case.script.items() for word in pair]) as (port, dumps):
            self._run(port, QUICK, "none", {})
            if not case.refused:
                self._read(dumps)
        self._held(case, number, guest.email_id)
        with cafe.db.begin() as conn:
            health.start(conn, by="Ana", now=self.clock())
        with sink([]) as (port, dumps):
            while cafe.state(number) == "pending" and self.clock.at < NOW + dt.timedelta(hours=10):
                self.clock.at += dt.timedelta(minutes=20)
                self._run(port, QUICK, "none", {})
            self._read(dumps)

    def _read(self, dumps: Path) -> None:
        for each in dumps.iterdir():
            self.accepted.update(re.findall(r"(?m)^Message-ID: (<[^>\s]*>)", each.read_text()))


@contextmanager
def sink(options: list[str]) -> Iterator[tuple[int, Path]]:
    """Run smtp-sink; gives its port, and the folder in which it lays what it has taken."""
    if SINK is None:
        raise MissingError("smtp-sink is not on this machine: apt-get install postfix")
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o777)
        port = unused()
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        command = [SINK, *user, "-d", f"{folder}/%M.", *options, f"127.0.0.1:{port}", "10"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as server:
            try:
                _listens(server, port)
                yield port, Path(folder)
            finally:
                server.kill()


def _listens(server: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + 20
    while server.poll() is None and time.monotonic() < until:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
    raise MissingError("smtp-sink does not begin to listen")


FAULTS: dict[str, Callable[[Scale], Tally]] = {
    "smtp: seven phases": whole("smtp: seven phases", phases, 3),
    "smtp: replies after the dot": whole("smtp: replies after the dot", after_the_dot, 1),
    "smtp: lines not to be trusted": whole("smtp: lines not to be trusted", lines, 1),
    "smtp: postfix's smtp-sink": whole("smtp: postfix's smtp-sink", of_others, 1, Sunk),
}


# ---------------------------------------------------------------------------------------------------------------------
# Certificates.


@cache
def contexts() -> dict[str, ssl.SSLContext]:
    """An authority of our own, and servers: good, expired, for another host, vouching for itself."""
    authority = ec.generate_private_key(ec.SECP256R1())
    root = _certificate("Test CA", authority, "Test CA", authority, days=3650, authority=True)
    made = {"trusting": ssl.create_default_context(cadata=root)}
    for name, host, days in (("good", "localhost", 3650), ("expired", "localhost", -1), ("elsewhere", "mx.example", 9)):
        key = ec.generate_private_key(ec.SECP256R1())
        made[name] = _server(_certificate(host, key, "Test CA", authority, days=days), key)
    key = ec.generate_private_key(ec.SECP256R1())
    made["self-signed"] = _server(_certificate("localhost", key, "localhost", key, days=9), key)
    return made


def _certificate(subject: str, key: Any, issuer: str, signer: Any, *, days: int, authority: bool = False) -> str:
    now = dt.datetime.now(dt.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=30))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(subject.replace(" ", "-"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    return built.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def _server(certificate: str, key: Any) -> ssl.SSLContext:
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(certificate + private)
        file.flush()
        context.load_cert_chain(file.name)
    return context

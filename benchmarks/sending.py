"""Sending: a mail's bytes against the standard library's, ready bytes and whole dispatch against bare smtplib.

The server is Postfix's ``smtp-sink``, a compiled one that takes everything. Before a measure counts, the sink writes
down what it took of both sides: every message once. Both sides talk to one sink, in turn.
"""

from __future__ import annotations

import email
import email.policy
import os
import re
import shutil
import smtplib
import socket
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from email.message import EmailMessage
from email.utils import format_datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Final

from sqlalchemy import func, select, update

from benchmarks.crowd import AS_OF
from benchmarks.evaluation import run
from benchmarks.ground import Ground, World
from benchmarks.measure import ROUNDS, Measure, Mismatch, Pair, Skipped, faster
from connectors.base import Message
from connectors.smtp import SmtpConnector
from engine.database.tables import dispatches
from engine.dispatch.approve import approve
from engine.dispatch.desk import Desk, Summary, open_desk
from engine.dispatch.links import message_id
from engine.dispatch.mime import email_bytes
from engine.dispatch.render import RenderedEmail
from engine.dispatch.stages import send_due
from engine.language.config_channels import SmtpConfig

#: Messages of a round: of ready bytes, and of whole dispatch (fewer where fewer are due).
READY: Final = 1000
WHOLE: Final = 400
SEVERAL: Final = 8
_SINK: Final = "smtp-sink"
_SEND_AT: Final = AS_OF + timedelta(minutes=30)
_POLICY: Final = email.policy.SMTP.clone(cte_type="7bit")
_MESSAGE_ID: Final = re.compile(rb"^Message-ID: (<[^>\r\n]+>)", re.MULTILINE)
_LINE: Final = "Corner Café: the last time you were here was three months ago, and we would like you to come again."
_URL: Final = "https://corner.example/r/u/AAAAAAAAAAAAAAAAAAA"


def measures(ground: Ground) -> Iterator[Measure]:
    """Give the measures of sending."""
    yield Measure("mime", "a mail's bytes, checked / by the standard library", faster(10), _mime, "EmailMessage")
    bare = "bare smtplib, one kept connection, fixed bytes"
    yield Measure("smtp", "ready bytes, one connection", faster(0.9), partial(_ready, pipelining=False), bare)
    yield Measure("smtp-pipelining", "the same with PIPELINING", faster(2), partial(_ready, pipelining=True), bare)
    for on in ground.databases:
        for id_, name, bar, connections in (
            ("dispatch", "whole dispatch, one connection", faster(0.25), 1),
            ("dispatch-group", f"whole dispatch, {SEVERAL} connections", faster(0.4), SEVERAL),
        ):
            yield Measure(id_, name, bar, partial(_whole, ground, on, connections), bare, database=on)


# ---------------------------------------------------------------------------------------------------------------------
# The server.


@contextmanager
def _sink(*, pipelining: bool = True, dump: Path | None = None) -> Iterator[int]:
    """Run a sink on this machine; give its port. ``dump``: the file into which it writes what it takes."""
    program = shutil.which(_SINK, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/lib/postfix/sbin")
    if program is None:
        raise Skipped("there is no smtp-sink (it comes with Postfix)")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    words = [program, *([] if pipelining else ["-p"]), *(["-D", str(dump)] if dump else [])]
    words += ["-u", "root"] if os.geteuid() == 0 else []
    sink = subprocess.Popen([*words, f"127.0.0.1:{port}", "1000"])
    try:
        _wait_for(port)
        yield port
    finally:
        sink.terminate()
        sink.wait()


def _wait_for(port: int) -> None:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise Skipped("smtp-sink does not listen")


def _taken(dump: Path) -> Counter[str]:
    """Count what a sink has written down, by Message-ID."""
    return Counter(each.decode() for each in _MESSAGE_ID.findall(dump.read_bytes()))


def _bare(port: int, letters: Sequence[Message]) -> Callable[[], None]:
    """Give the opponent: smtplib as its own page shows it, on one connection."""

    def send() -> None:
        with smtplib.SMTP("127.0.0.1", port) as server:
            for each in letters:
                assert isinstance(each.body, bytes), "an email"
                server.sendmail(each.sender, [each.recipient], each.body)

    return send


# ---------------------------------------------------------------------------------------------------------------------
# A mail's bytes.


@dataclass(frozen=True)
class _Named:
    name: str
    address: str


_BUSINESS: Final = _Named("Corner Café Ltd", "12 Mill Lane, Springfield, IL 62701")
_SENDER: Final = _Named("Corner Café", "hello@corner.example")


def _rendered(number: int) -> RenderedEmail:
    """Give a mail of the size of ours, each guest's another one, which shows all that the law wants."""
    foot = f"{_BUSINESS.name}, {_BUSINESS.address}"
    text = "\n".join([f"Hello guest {number},", *[_LINE] * 10, foot, f"Unsubscribe: {_URL}"])
    rows = "".join(f'<tr><td style="padding:8px 20px;color:#2b2b2b">{_LINE}</td></tr>' for _ in range(50))
    link = f'<a href="{_URL}">Unsubscribe</a>'
    page = f"<html><body><p>Hello guest {number},</p><table>{rows}</table><p>{foot}</p><p>{link}</p></body></html>"
    return RenderedEmail(f"We miss you, guest {number}", text, page, {}, "en", text)


def _made(number: int) -> bytes:
    return email_bytes(
        _rendered(number),
        sender=_SENDER,
        recipient=f"guest{number}@guest.example",
        message_id=f"<{number}@corner.example>",
        date=AS_OF,
        unsubscribe_url=_URL,
        business=_BUSINESS,
    )


def _by_the_library(number: int) -> bytes:
    rendered = _rendered(number)
    message = EmailMessage(policy=_POLICY)
    message["From"] = f"{_SENDER.name} <{_SENDER.address}>"
    message["To"] = f"guest{number}@guest.example"
    message["Subject"] = rendered.subject
    message["Date"] = format_datetime(AS_OF)
    message["Message-ID"] = f"<{number}@corner.example>"
    message["List-Unsubscribe"] = f"<{_URL}>"
    message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(rendered.text)
    message.add_alternative(rendered.html or "", subtype="html")
    return message.as_bytes()


def _read(data: bytes) -> list[object]:
    """Give what a mail program sees: the headers, and each part with its type and content."""
    message = email.message_from_bytes(data, policy=email.policy.default)
    headers = {name: str(value) for name, value in message.items() if name != "Content-Type"}
    parts = [(part.get_content_type(), part.get_content()) for part in message.walk() if not part.is_multipart()]
    return [headers, *parts]


@contextmanager
def _mime(count: int = 100) -> Iterator[Pair]:
    def check() -> None:
        for number in range(5):
            if _read(_made(number)) != _read(_by_the_library(number)):
                raise Mismatch("the standard library's parser reads the two otherwise")

    yield Pair(
        ours=lambda: [_made(number) for number in range(count)],
        opponent=lambda: [_by_the_library(number) for number in range(count)],
        check=check,
        note="Headers, two parts and the check of the finished bytes; the parser reads the same from both.",
    )


# ---------------------------------------------------------------------------------------------------------------------
# Ready bytes.


def _letters(count: int = READY) -> list[Message]:
    return [
        Message(str(number), "email", _SENDER.address, f"guest{number}@guest.example", _made(number))
        for number in range(count)
    ]


def _carried(port: int, letters: Sequence[Message]) -> None:
    """Send by the connector, one after the other; the next one is told of where the server offers that."""
    carrier = SmtpConnector("127.0.0.1", port, "none")
    for each, following in pairwise([*([one] for one in letters), []]):
        (outcome,) = carrier.send_group(each, lambda places: places, following)
        if outcome.kind != "sent":
            raise Mismatch(f"a message was not taken: {outcome.code}")
    carrier.close()


@contextmanager
def _ready(*, pipelining: bool) -> Iterator[Pair]:
    letters = _letters()

    def check() -> None:
        ways: tuple[Callable[[int, Sequence[Message]], None], ...] = (_carried, lambda port, some: _bare(port, some)())
        with _scratch() as folder:
            for number, send in enumerate(ways):
                dump = folder / f"dump-{number}"
                with _sink(pipelining=pipelining, dump=dump) as port:
                    send(port, letters)
                if _taken(dump) != Counter(f"<{each.key}@corner.example>" for each in letters):
                    raise Mismatch("the server has not taken every message once")

    with _sink(pipelining=pipelining) as port:
        yield Pair(
            ours=lambda: _carried(port, letters),
            opponent=_bare(port, letters),
            check=check,
            note=f"{READY} messages of {len(letters[0].body) // 1000} kB; the fence says yes at once.",
        )


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


# ---------------------------------------------------------------------------------------------------------------------
# Whole dispatch.


@dataclass(frozen=True)
class _Post:
    """A home in which a first run is approved, and whose emails go to a server on this machine."""

    world: World
    connections: int

    def due(self) -> int:
        """Count the emails that wait."""
        d = dispatches.c
        with self.world.db.connect() as conn:
            asked = select(func.count()).where(d.state == "pending", d.channel == "email", d.due_at <= _SEND_AT)
            return conn.scalar(asked) or 0

    @contextmanager
    def desk(self, port: int) -> Iterator[Desk]:
        """Open what a worker sends with; it sends to that port."""
        config = self.world.home.config
        smtp = SmtpConfig("127.0.0.1", port, "none", None, None, connections=self.connections)
        home = replace(
            self.world.home, config=replace(config, email=replace(config.email, connector="smtp", smtp=smtp))
        )
        desk = open_desk(self.world.db, home, now=lambda: _SEND_AT)
        desk.unusable.add("sms")
        yield desk
        desk.close()


def _sent(desk: Desk, limit: int) -> float:
    """Send so many emails, with all that belongs to it; give the seconds that so many take.

    Of some it shows now that they may not go: they count for nothing.
    """
    desk.summary = Summary()
    begun = time.perf_counter()
    summary = send_due(desk, limit=limit)
    took = time.perf_counter() - begun
    sent = summary.states["sent"] - summary.inside
    if summary.problems or not limit * 0.9 <= sent <= limit:
        raise Mismatch(f"{sent} of {limit} are sent: {dict(summary.states)} {summary.problems}")
    return took * limit / sent


@contextmanager
def _approved(world: World) -> Iterator[World]:
    with world.copy() as mine:
        run(mine)
        with mine.db.begin() as conn:
            approve(conn, None, name="bench", now=AS_OF, mode=mine.home.config.approvals)
            conn.execute(update(dispatches).where(dispatches.c.channel == "alert").values(state="cancelled"))
        yield mine


@contextmanager
def _whole(ground: Ground, on: str, connections: int) -> Iterator[Pair]:
    post = _Post(ground.shared("approved", ground.world(on), _approved), connections)
    with _scratch() as folder, _state_in(folder):
        limit = min(WHOLE, post.due() // (2 * (ROUNDS + 3)))  # a second measure takes its own from the same home
        if not limit:
            raise Skipped("too few guests: no emails are due")
        dump = folder / "dump"

        with _sink() as port, post.desk(port) as desk:
            _sent(desk, 1)  # and the coupons of all
        before = _handed_over(post.world)
        with _sink(dump=dump) as port, post.desk(port) as desk:
            _sent(desk, limit)
        taken, sent = _taken(dump), _handed_over(post.world) - before
        if set(taken.values()) != {1} or taken.keys() != sent:
            raise Mismatch("the server has not taken every message once")
        size = dump.stat().st_size // len(taken)
        fixed = replace(_letters(1)[0], body=(b"x" * 70 + b"\r\n") * (size // 72))
        with _sink() as port, post.desk(port) as desk:
            yield Pair(
                ours=lambda: _sent(desk, limit),
                opponent=_bare(port, [fixed] * limit),
                note=f"{limit} messages of {size // 1000} kB: claimed, asked, filled in, fenced with the journal, sent "
                "and recorded by a worker that has begun; every commit synced.",
            )


def _handed_over(world: World) -> set[str]:
    """Give the Message-IDs of all emails that are ``sent``."""
    d, home = dispatches.c, world.home
    with world.db.connect() as conn:
        ids = conn.scalars(select(d.id).where(d.state == "sent", d.carrier == "email")).all()
    return {message_id(home.key, each, home.config.email.sender.address) for each in ids}


@contextmanager
def _state_in(folder: Path) -> Iterator[None]:
    """Keep what a home remembers of this machine out of the user's own folders."""
    before = os.environ.get("XDG_STATE_HOME")
    os.environ["XDG_STATE_HOME"] = str(folder / "state")
    try:
        yield
    finally:
        if before is None:
            del os.environ["XDG_STATE_HOME"]
        else:
            os.environ["XDG_STATE_HOME"] = before

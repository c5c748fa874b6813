"""Every row of the table for Twilio, whole: a queued SMS, the official client, a double of Twilio that keeps its own list.

The double is the witness. What it took and what it answered are two things: a lost answer may stand for either.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import delete, select

sys.path.append(str(Path(__file__).parents[1] / "connectors"))

from dispatch.twilio import ACCOUNT, ENVIRON, TOKEN, TWILIO_CONFIG, a_guest
from dispatch.world import NOW, Cafe, Clock, a_desk, a_home
from scripted_http import CLOSE, DRIP, RESET, STALL, ScriptedServer

from connectors.sms_twilio import TwilioConnector
from engine.database.tables import channels, endpoints
from engine.dispatch import health
from engine.dispatch.links import status_url
from engine.dispatch.stages import send_due

from .places import place
from .tally import Counts, Scale, Tally, reconcile

#: Hung up on before a byte of the request was read; nobody there at all.
EARLY, NOBODY = "early", "nobody"
CREATED = "created"
LATER = timedelta(hours=1)


def reply(
    status: int, payload: Any = None, *, text: str | None = None, promised: int | None = None, more: str = ""
) -> bytes:
    body = (json.dumps(payload) if text is None else text).encode()
    length = len(body) if promised is None else promised
    return f"HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n{more}\r\n".encode() + body


def refused(status: int, code: int, more: str = "") -> bytes:
    return reply(status, {"code": code, "message": "The number +13125550101 is bad", "status": status}, more=more)


@dataclass(frozen=True)
class Case:
    """One reply, whether the double took the message, and what must become of dispatch, channel and number."""

    answer: bytes | str
    took: bool
    ends: str  #: state and reason
    channel: str = ""  #: stopped, rests, slow, failed
    number: str | None = None
    due: timedelta | None = None  #: of what waits
    attempts: int = 1
    finds: bool = True  #: whether the look-up answers


LOST: dict[str, bytes | str] = {
    "silence": STALL,
    "a dripping reply": DRIP,
    "closed": CLOSE,
    "reset": RESET,
    "closed before the request was read": EARLY,
    "no HTTP": b"wibble\r\n\r\n",
    "500": refused(500, 20500),
    "502 in HTML": reply(502, text="<html>Bad Gateway</html>"),
    "503, truncated": reply(503, {}, promised=9_000),
    "500 with 20429": refused(500, 20429),
    "a 201, truncated": reply(201, {"sid": "SM" + "a" * 32}, promised=9_000),
    "a 201 in HTML": reply(201, text="<html>Welcome to the hotel</html>"),
    "an empty 201": reply(201, text=""),
    "a 201 with a strange sid": reply(201, {"sid": "SMshort"}),
    "a 200 without a sid": reply(200, {"sid": None}),
    "204": b"HTTP/1.1 204 X\r\n\r\n",
    "103": b"HTTP/1.1 103 Early Hints\r\n\r\n",
    "307": reply(307, {}, more="Location: http://evil.example/\r\n"),
    "408": reply(408, {}),
}


def _cases() -> Iterator[tuple[str, Case]]:
    yield "201", Case(CREATED, took=True, ends="sent")
    for what, answer in LOST.items():
        if answer != EARLY:
            yield f"{what}; taken and found", Case(answer, took=True, ends="sent")
            yield f"{what}; taken, no look-up", Case(answer, True, "uncertain: no_answer", "failed", finds=False)
        yield f"{what}; not taken", Case(answer, False, "uncertain: no_answer", "failed")
    yield "nobody there", Case(NOBODY, False, "pending: not_now", "failed", due=timedelta(minutes=5), attempts=0)
    yield "21610", Case(refused(400, 21610), False, "blocked: opted_out", number="unsubscribed")
    for code in (21211, 21614, 21217):
        yield str(code), Case(refused(400, code), False, "rejected: unusable", number="unusable")
    for status, code in ((400, 21606), (404, 20404), (422, 21600)):
        yield f"{status} with {code}", Case(refused(status, code), False, "rejected: refused", "refused")
    yield "400 in HTML", Case(reply(400, text="<html>"), False, "rejected: refused", "refused")
    yield "400, truncated", Case(refused(400, 21610)[:-20], False, "rejected: refused", "refused")
    stopped = {"took": False, "ends": "pending: not_now", "channel": "stopped", "due": timedelta(0), "attempts": 0}
    for status, code in ((401, 20003), (403, 20003), (400, 20003), (401, 0), (403, 70051)):
        yield f"{status} with {code}", Case(refused(status, code), **stopped)
    yield "500 with 20003", Case(refused(500, 20003), False, "uncertain: no_answer", "stopped")
    for said, seconds in (("30", 30), ("0", 1), ("86400", 3_600), ("Mon, 04 May 2026 15:05:00 GMT", 300)):
        answer, due = refused(429, 20429, f"Retry-After: {said}\r\n"), timedelta(seconds=seconds)
        yield f"429 until {said}", Case(answer, False, "pending: not_now", "slow", due=due, attempts=0)
    slow = Case(refused(429, 20429), False, "pending: not_now", "slow", due=timedelta(minutes=5), attempts=0)
    yield "429 until nobody knows", slow


CASES: dict[str, Case] = dict(_cases())


class Double(ScriptedServer):
    """Twilio's double: takes messages or not, as the case says, and lists what it took."""

    def __init__(self) -> None:
        self.case = CASES["201"]
        self.at = NOW
        self.accepted: Counter[str] = Counter()
        self.messages: list[dict[str, Any]] = []
        self.forms: list[dict[str, str]] = []
        self._answered = 0
        self._now: Any = b""
        super().__init__(None)

    @staticmethod
    def read(body: bytes) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(body.decode()).items()}

    @property
    def answer(self) -> Any:
        """Take in the last request, once, and give what is answered to it."""
        if self._answered < len(self.requests):
            self._answered = len(self.requests)
            line, _, form = self.requests[-1]
            self._now = self._list(line) if line.startswith("GET") else self._take(form)
        return self._now

    @answer.setter
    def answer(self, _: Any) -> None:
        pass

    def _talk(self, sock: Any) -> None:
        if self.case.answer != EARLY:
            super()._talk(sock)

    def _list(self, line: str) -> bytes:
        if not self.case.finds:
            return reply(500, {})
        to = parse_qs(urlsplit(line.split()[1]).query)["To"][0]
        found = [each for each in self.messages if each["to"] == to]
        return reply(200, {"messages": found, "page": 0, "page_size": 50, "next_page_uri": None, "uri": "x"})

    def _take(self, form: dict[str, str]) -> Any:
        self.forms.append(form)
        sid = f"SM{len(self.forms):032x}"
        if self.case.took:
            self.accepted[form["StatusCallback"]] += 1
            made = format_datetime(self.at)
            one = {"sid": sid, "to": form["To"], "body": form["Body"], "date_created": made}
            self.messages.append({**one, "direction": "outbound-api", "status": "queued"})
        return reply(201, {"sid": sid, "status": "queued"}) if self.case.answer == CREATED else self.case.answer


@dataclass
class World:
    """A cafe whose SMS go to the double."""

    cafe: Cafe
    root: Path
    double: Double
    keys: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.home = a_home(self.root, TWILIO_CONFIG, ENVIRON)

    def message(self) -> int:
        guest, _ = a_guest(self.cafe, self.home)
        number = self.cafe.message(guest, "sms")
        self.keys[status_url(self.home.config, self.home.key, number)] = number
        return number

    def send(self, case: Case, at: Any = NOW) -> None:
        self.double.case, self.double.at = case, at
        port = 1 if case.answer == NOBODY else self.double.port
        clock = Clock(at)
        seconds = 0.05 if case.answer in (STALL, DRIP) else 20
        base = f"http://127.0.0.1:{port}"
        sms = TwilioConnector(ACCOUNT, TOKEN, "+15005550006", base, clock=clock, reply_seconds=seconds)
        send_due(a_desk(self.cafe, self.home, clock, sms=sms))

    def refresh(self) -> None:
        """Let the channel begin anew, as `regulars start` does."""
        with self.cafe.db.begin() as conn:
            conn.execute(delete(channels))

    def channel(self) -> str:
        with self.cafe.db.begin() as conn:
            row = conn.execute(select(channels).where(channels.c.channel == "sms")).one_or_none()
        if row is None or not (row.stopped_at or row.rate or row.failures or row.refusals):
            return ""
        if row.stopped_at:
            return "stopped"
        return "slow" if row.rate else "failed" if row.failures else "refused"

    def number(self, dispatch: int) -> str | None:
        endpoint = self.cafe.row(dispatch).endpoint_id
        with self.cafe.db.begin() as conn:
            return conn.scalar(select(endpoints.c.suppressed_why).where(endpoints.c.id == endpoint))


@contextmanager
def world(kind: str) -> Iterator[World]:
    with place(kind) as at, Double() as double:
        yield World(Cafe(at.db), at.root, double)


def _found(there: World, dispatch: int, case: Case) -> Case:
    """Say what became of a message in the words of its case."""
    row = there.cafe.row(dispatch)
    due = row.due_at - NOW if row.state == "pending" else None
    how = (there.channel(), there.number(dispatch), due, row.attempts)
    return Case(case.answer, case.took, there.cafe.outcome(dispatch), *how, finds=case.finds)


def every_reply(scale: Scale, *, kind: str) -> Tally:
    tries = scale.pick(1, 10)
    wrong = []
    with world(kind) as there:
        for what, case in CASES.items():
            for _ in range(tries):
                dispatch = there.message()
                there.send(case)
                found = _found(there, dispatch, case)
                if found != case:
                    wrong.append(f"{what}: {found} instead of {case}")
                there.refresh()
                if found.due is not None:  # it waits for the end of this day, not for the next case
                    there.cafe.set(dispatch, due_at=NOW + LATER)
        bitten = Counter(there.cafe.state(each) for each in there.keys.values())
        there.send(CASES["201"], NOW + LATER)
        counts = reconcile(there.cafe.db, there.double.accepted, there.keys, now=NOW + LATER)
        # None of these is ever sent again by itself, so each was asked for once; what waited, a second time.
        unread = tries * sum(1 for case in CASES.values() if case.answer in (EARLY, NOBODY))
        asked = len(CASES) * tries - unread + bitten["pending"]
        if len(there.double.forms) != asked:
            wrong.append(f"{len(there.double.forms)} requests instead of {asked}")
    may = tries * sum(1 for case in CASES.values() if case.ends.startswith("uncertain") and not case.took)
    note = ", ".join(f"{count} {state}" for state, count in sorted(bitten.items()))
    return Tally.of("", len(CASES) * tries, counts + Counts(wrong=tuple(wrong)), note=note, allowed=may)


def three_refusals(scale: Scale, *, kind: str) -> Tally:
    """Three noes in a row that blame nobody's number stop the channel; the same guest's three do not."""
    case, wrong = CASES["400 with 21606"], []
    tries = scale.pick(1, 5)
    counts = Counts()
    for _ in range(tries):
        with world(kind) as there:
            made = [there.message() for _ in range(5)]
            there.send(case)
            ends = [there.cafe.outcome(each) for each in made]
            if ends.count("rejected: refused") != health.REFUSALS or there.channel() != "stopped":
                wrong.append(f"{ends}, channel {there.channel()}")
            there.refresh()
            there.send(CASES["201"], NOW + LATER)
            counts += reconcile(there.cafe.db, there.double.accepted, there.keys, now=NOW + LATER)
    return Tally.of("", tries * 5, counts + Counts(wrong=tuple(wrong)), allowed=0)


def found_later(scale: Scale, *, kind: str) -> Tally:
    """The look-up right after the lost answer fails too; a later one settles what was taken, and only that."""
    tries, wrong = scale.pick(4, 40), []
    lost = Case(CLOSE, took=True, ends="", finds=False)
    never = Case(CLOSE, took=False, ends="", finds=False)
    with world(kind) as there:
        made = []
        for number in range(tries):
            made.append((there.message(), number % 2 == 0))
            there.send(lost if number % 2 == 0 else never)
            there.refresh()
        if {there.cafe.state(each) for each, _ in made} != {"uncertain"}:
            wrong.append("the answers were not lost")
        there.send(CASES["201"], NOW + LATER)
        for each, took in made:
            if there.cafe.state(each) != ("sent" if took else "uncertain"):
                wrong.append(f"taken {took}: {there.cafe.outcome(each)}")
        counts = reconcile(there.cafe.db, there.double.accepted, there.keys, now=NOW + LATER)
    return Tally.of("", tries, counts + Counts(wrong=tuple(wrong)), allowed=tries // 2)


FAULTS: dict[str, Callable[[Scale], Tally]] = {
    f"{what}, {kind}": partial(fault, kind=kind)
    for what, fault in (
        ("Twilio: every reply of the table", every_reply),
        ("Twilio: three refusals in a row", three_refusals),
        ("Twilio: found by a later look-up", found_later),
    )
    for kind in ("sqlite", "postgres")
}

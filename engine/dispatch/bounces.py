"""What a mail that came back means, and what becomes of it: one transaction a letter, once however often it is read.

Believed is only what bears a token of ours and speaks of the very address that the message went to. A report of a
message is proof that it was accepted, so ``handoff`` and ``uncertain`` become ``sent``; nothing else moves a state.
Nothing is kept of a letter but its status codes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import Connection, Engine, Row, exists, or_, select

from connectors.mailbox import Mailbox
from connectors.smtp_replies import Reply, of_reply
from engine.database.consent import lock_endpoint, suppress
from engine.database.sql import upsert
from engine.database.tables import audit, delivery_events, dispatches, endpoints
from engine.dispatch.links import link_keys, read_mail_token
from engine.dispatch.returned import Recipient, Returned, read
from engine.dispatch.soft_bounces import count_soft
from engine.dispatch.states import State, move
from engine.dispatch.unsubscribing import Way, end_marketing, unsubscribe
from engine.language.contacts import normalise
from engine.language.keys import endpoint_hash
from engine.vocabulary.home import Home

Verdict = Literal["hard", "soft", "policy"]
#: What became of a letter. ``again``: it was known before. ``letter``: nothing of ours, or for a person to read.
Result = Literal[
    "hard", "soft", "policy", "staff", "delayed", "delivered", "complained", "unsubscribed", "robot", "forged", "again",
    "letter",
]  # fmt: skip

#: Complaints that are one: of the others (not-spam, auth-failure) nothing follows for the guest.
_COMPLAINTS: Final = frozenset({"abuse", "fraud", "opt-out"})
_ACTIONS: Final = {"delayed": "delayed", "delivered": "delivered", "relayed": "delivered", "expanded": "delivered"}


@dataclass
class Returns:
    """What one reading did: how many letters of each kind. ``left`` are those that wait for the next reading."""

    counts: Counter[Result] = field(default_factory=Counter)
    suppressed: int = 0  #: addresses to which nothing goes any more
    arrived: int = 0  #: messages that were ``uncertain`` and are known now to have been accepted
    to_read: int = 0  #: letters that were acted on, and in which somebody wrote more than the word
    left: int = 0
    policy_codes: Counter[str] = field(default_factory=Counter)


def take_in(db: Engine, home: Home, mailbox: Mailbox, now: Callable[[], datetime], into: Returns) -> None:
    """Read every new letter, judge it and mark it as read after the commit; the sums go ``into`` as they come.

    Raises ``MailboxError`` where the mailbox cannot be read (any more), and what a database raises: what was done until
    then stands, and the rest is read the next time.
    """
    for letter in mailbox.letters():
        returned = read(letter.raw)
        if (returned.tokens or returned.links) and returned.kind != "robot":
            with db.begin() as conn:
                done = _Judge(conn, home, now()).judge(returned)
        else:  # nothing to look up: it bears no token of anybody
            done = _Done("robot" if returned.robot else "letter")
        into.counts[done.result] += 1
        into.suppressed += done.suppressed
        into.arrived += done.arrived
        if done.result == "policy":
            into.policy_codes[done.code] += 1
        into.to_read += done.result != "letter" and returned.says_more
        mailbox.settle(letter, understood=done.result != "letter" and not returned.says_more)
    into.left += mailbox.left


def verdict(status: str, code: int, text: str) -> tuple[Verdict, str]:
    """Judge what a server said of an address, by the table of SMTP replies; give the codes too, such as ``5.1.1``.

    ``status`` may be empty and ``code`` 0. A failure that nobody explains is a soft one.
    """
    reply = Reply(code, text)
    if reply.enhanced and not reply.enhanced.endswith(".0.0") and status[2:3] != "7":
        status = reply.enhanced  # what the server itself said goes before what another made of it, save for a policy
    kind = status[:1] or str(code)[:1]
    if status[2:3] == "7" or (status[:1] == "4" and reply.enhanced[2:3] == "7"):
        return "policy", status
    if kind != "5":
        return "soft", status or str(code)
    told = text.removeprefix(reply.enhanced).strip() if reply.enhanced else text
    said = told if not status or status.endswith(".0.0") else f"{status} {told}"
    outcome = of_reply("dot", Reply(code if str(code).startswith("5") else 550, said))
    shown = status or str(code)
    if outcome.endpoint == "hard":
        return "hard", shown
    return ("policy" if outcome.channel == "breaker" else "soft"), shown


@dataclass(frozen=True, slots=True)
class _Done:
    result: Result
    suppressed: bool = False
    arrived: bool = False
    code: str = ""


class _Judge:
    """Judges one letter in one transaction."""

    def __init__(self, conn: Connection, home: Home, now: datetime) -> None:
        self._conn = conn
        self._home = home
        self._now = now

    def judge(self, returned: Returned) -> _Done:
        """Give what became of it."""
        match returned.kind:
            case "report":
                return self._report(returned)
            case "complaint":
                return self._complaint(returned)
            case "notice":
                return self._notice(returned)
        return self._letter(returned)

    # -- a server's report --------------------------------------------------------------------------------------------

    def _report(self, returned: Returned) -> _Done:
        sent = self._message(returned.tokens)
        if sent is None:
            return _Done("forged")
        told = [each for each in returned.recipients if sent.endpoint_id is None or self._is_of(sent, each.addresses)]
        if not told:
            return _Done("forged" if returned.recipients else "letter")
        return self._told(sent, next((each for each in told if each.action == "failed"), told[0]))

    def _told(self, sent: Row[*tuple[Any, ...]], about: Recipient) -> _Done:
        if about.action in _ACTIONS:
            what = _ACTIONS[about.action]
            result: Result = "delayed" if what == "delayed" else "delivered"
            new = self._event(sent, what, about.status, source="dsn")
            return _Done(result if new else "again", arrived=self._accepted(sent))
        if about.action != "failed" or about.status.startswith("2"):
            return _Done("letter")
        return self._bounced(sent, *verdict(about.status, about.code, about.text))

    def _bounced(self, sent: Row[*tuple[Any, ...]], what: Verdict, code: str) -> _Done:
        if sent.endpoint_id is not None:
            lock_endpoint(self._conn, sent.endpoint_id)
        arrived = self._accepted(sent)
        if not self._event(sent, "bounced", f"{what} {code}".strip(), source="dsn"):
            return _Done("again", arrived=arrived)
        if sent.endpoint_id is None:
            return _Done("staff", arrived=arrived)
        open_before = not self._suppressed(sent.endpoint_id)
        if what == "hard":
            suppress(self._conn, sent.endpoint_id, "hard_bounce", at=self._now)
        elif what == "soft":
            count_soft(self._conn, sent.endpoint_id, sent.handed_at or self._now, self._now)
        return _Done(what, suppressed=open_before and self._suppressed(sent.endpoint_id), arrived=arrived, code=code)

    def _notice(self, returned: Returned) -> _Done:
        """Act on a report in plain text only where it plainly says of the very address that there is nobody."""
        other = _Done("robot" if returned.robot else "letter")
        sent = self._message(returned.tokens)
        if sent is None or sent.endpoint_id is None or not self._is_of(sent, returned.addresses):
            return other
        what, code = verdict("", 550, returned.text)
        return self._bounced(sent, what, code) if what == "hard" else other

    # -- a complaint, a guest's word ----------------------------------------------------------------------------------

    def _complaint(self, returned: Returned) -> _Done:
        sent = self._message(returned.tokens)
        if returned.feedback not in _COMPLAINTS:
            return _Done("forged" if sent is None else "letter")
        if sent is None or sent.endpoint_id is None:
            return self._hidden_complaint(returned)
        lock_endpoint(self._conn, sent.endpoint_id)
        arrived = self._accepted(sent)
        if not self._event(sent, "complained", returned.feedback, source="arf"):
            return _Done("again", arrived=arrived)
        end_marketing(self._conn, sent.endpoint_id, self._now, way="complaint")
        open_before = not self._suppressed(sent.endpoint_id)
        suppress(self._conn, sent.endpoint_id, "complaint", at=self._now)
        return _Done("complained", suppressed=open_before, arrived=arrived)

    def _hidden_complaint(self, returned: Returned) -> _Done:
        """Act on a complaint that hides which message it was: the unsubscribe link in it says who wants no more."""
        new = self._by_token((*returned.tokens, *returned.links), "complaint", returned.mark)
        return _Done("forged" if new is None else "complained" if new else "again")

    def _by_token(self, tokens: Sequence[str], way: Way, letter: str) -> bool | None:
        """Take the word of the first token that is a way out of ours; True where that is new, None: there is none."""
        keys = link_keys(self._home.config, self._home.key)
        words = (unsubscribe(self._conn, keys, token, self._now, way=way, letter=letter) for token in tokens)
        return next((new for new in words if new is not None), None)

    def _letter(self, returned: Returned) -> _Done:
        new = self._by_token(returned.tokens, "mail", returned.mark)
        if new is not None:
            return _Done("unsubscribed" if new else "again")
        sent = self._message(returned.tokens) if returned.says_stop else None
        if sent is None or sent.endpoint_id is None:
            return _Done("letter")
        new = end_marketing(self._conn, sent.endpoint_id, self._now, way="mail", letter=returned.mark)
        return _Done("unsubscribed" if new else "again")

    # -- what is known of the message ---------------------------------------------------------------------------------

    def _message(self, tokens: Sequence[str]) -> Row[*tuple[Any, ...]] | None:
        """Find the email that one of the tokens names and that was handed over; None: no token is genuine."""
        for token in tokens:
            number = read_mail_token(self._home.key, "bounce", token)
            if number is None:
                continue
            d = dispatches.c
            handed = exists().where(audit.c.dispatch_id == d.id, audit.c.action == "move", audit.c.after == "handoff")
            chosen = (
                select(d.id, d.month, d.state, d.handed_at, d.endpoint_id, endpoints.c.hash)
                .outerjoin(endpoints, endpoints.c.id == d.endpoint_id)
                .where(d.id == number, or_(endpoints.c.channel == "email", d.channel == "alert"))
                .where(or_(d.handed_at.is_not(None), handed))
            )
            return self._conn.execute(chosen).one_or_none()
        return None

    def _is_of(self, sent: Row[*tuple[Any, ...]], addresses: Sequence[str]) -> bool:
        """Tell whether one of the addresses is the one that the message went to, also after that was erased."""
        for address in addresses:
            try:
                if endpoint_hash(self._home.key, "email", normalise("email", address)) == sent.hash:
                    return True
            except ValueError:
                continue
        return False

    def _accepted(self, sent: Row[*tuple[Any, ...]]) -> bool:
        """Take the letter as proof that the mail server had accepted the message; True where that was not known."""
        before: State
        for before in ("uncertain", "handoff"):
            mine = dispatches.c.id == sent.id
            if move(self._conn, before, "sent", mine, who="reconciler", now=self._now, reason="returned"):
                return True
        return False

    def _event(self, sent: Row[*tuple[Any, ...]], kind: str, code: str, *, source: str) -> bool:
        """Write it down, once; False where it is known."""
        row = {"month": sent.month, "dispatch_id": sent.id, "at": self._now, "kind": kind, "code": code or None}
        key = " ".join([str(sent.id), kind, code]).strip()
        new = upsert(self._conn, delivery_events).values(**row, source=source, key=key).on_conflict_do_nothing()
        return self._conn.scalar(new.returning(delivery_events.c.id)) is not None

    def _suppressed(self, endpoint_id: int) -> bool:
        since = select(endpoints.c.suppressed_at).where(endpoints.c.id == endpoint_id)
        return self._conn.scalar(since) is not None

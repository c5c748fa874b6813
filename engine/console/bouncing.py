"""Reading the mail that came back, by hand or at the beginning of a run, and saying in words what it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from connectors.mailbox import Mailbox, MailboxError
from engine.console.exits import FINE, NOT_NOW, MistypedError
from engine.console.page import Page, Style
from engine.console.session import Session
from engine.console.words import counted
from engine.dispatch.bounces import Result, Returns, take_in
from engine.dispatch.instance import recognise, surroundings
from engine.language.bounces import BouncesConfig
from engine.language.secret import SecretError

#: What is said of each kind of letter, in this order, after how many there were.
_SAID: Final[Mapping[Result, tuple[str, Style | None]]] = {
    "hard": ("came back: the address is gone", None),
    "soft": ("came back: the mailbox is full, or out of reach", None),
    "policy": ("came back: refused by policy, which is about your sending and not about the guest", "bad"),
    "staff": ("came back from your staff", "bad"),
    "delayed": ("told of a delay", None),
    "delivered": ("told of a delivery", None),
    "complained": ("told of a complaint: no advertising goes there any more", "care"),
    "unsubscribed": ("unsubscribed", "good"),
    "robot": ("answered by itself, such as out of office", None),
    "again": ("changed nothing: known already", None),
    "forged": ("changed nothing: forged, or about another address", "care"),
    "letter": ("not understood: left for you to read", "care"),
}
_BRIEF: Final[Mapping[Result, str]] = {
    "hard": "gone",
    "soft": "full or out of reach",
    "policy": "refused by policy",
    "staff": "to staff",
    "complained": "complained",
    "unsubscribed": "unsubscribed",
    "letter": "not understood",
}
_KEYS: Final[Mapping[Result, str]] = {"letter": "not_understood", "robot": "out_of_office"}


@dataclass
class Back:
    """What one reading did, and what kept it from doing more: a sentence each."""

    returns: Returns = field(default_factory=Returns)
    problems: list[str] = field(default_factory=list)

    @property
    def own_fault(self) -> list[str]:
        """Give what the owner must look at, a sentence each."""
        told = []
        count = self.returns.counts["policy"]
        if count:
            codes = ", ".join(sorted(code for code in self.returns.policy_codes if code))
            told.append(
                f"{counted(count, 'email')} came back refused by policy ({codes}): mail servers distrust your "
                "sending. Look at SPF, DKIM and DMARC of your domain, at your mail server's reputation, and whether a "
                "mail to the address under `email: bounces` arrives: many servers ask."
            )
        if self.returns.counts["staff"]:
            told.append(
                f"{counted(self.returns.counts['staff'], 'alert')} to staff came back: look at the addresses in "
                "`contacts` of the config, and of the stores' managers."
            )
        return told

    def brief(self) -> str:
        """Say in one line what came back, for the report of a run; nothing where nothing did."""
        counts = self.returns.counts
        parts = [f"{counts[kind]:,} {word}" for kind, word in _BRIEF.items() if counts[kind]]
        if self.returns.to_read:
            parts.append(f"{self.returns.to_read:,} of these for you to read")
        return f"Came back: {', '.join(parts)}." if parts else ""


def taken_in(
    session: Session, at: datetime, *, maildir: Path | None, mbox: Path | None, shape: str
) -> tuple[str, Sequence[str], int]:
    """Do what `regulars bounces` was asked; give what is said, what went wrong, and the exit code.

    75 where the mailbox cannot be read now; what was done until then stands.
    """
    settings = session.home.config.email.bounces
    if maildir is None and mbox is None and (settings is None or not settings.read):
        raise MistypedError(
            "there is nowhere to read: give --maildir or --mbox, or say in the config where, with `from` of "
            "`email: bounces`"
        )
    recognise(session.db, surroundings(session.home.root), at)  # a copy would take the letters from the real one
    back = Back()
    if maildir is not None or mbox is not None:
        settings = BouncesConfig("", maildir=maildir, mbox=mbox)
    if settings is not None:
        _read(session, settings, at, back)
    page = Page()
    if shape == "json":
        page.json_lines([_as_json(back.returns)])
    else:
        _report(page, back.returns)
    return page.text, [*back.own_fault, *back.problems], NOT_NOW if back.problems else FINE


def at_a_run(session: Session, settings: BouncesConfig, at: datetime) -> Back:
    """Take in what came back; a mailbox that cannot be read stops nothing."""
    back = Back()
    _read(session, settings, at, back)
    return back


def _read(session: Session, settings: BouncesConfig, at: datetime, back: Back) -> None:
    try:
        box = _mailbox(settings)
    except SecretError as error:
        back.problems.append(f"The mail that came back was not read: {error}.")
        return
    try:
        take_in(session.db, session.home, box, lambda: at, back.returns)
    except MailboxError as error:
        back.problems.append(f"The mail that came back was not read to its end. {error}")
    finally:
        box.close()


def _mailbox(settings: BouncesConfig) -> Mailbox:
    from connectors.mailbox_files import Maildir, Mbox
    from connectors.mailbox_imap import ImapMailbox

    if settings.maildir is not None:
        return Maildir(settings.maildir)
    if settings.mbox is not None:
        return Mbox(settings.mbox)
    imap = settings.imap
    assert imap is not None, "asked to read nowhere"
    return ImapMailbox(imap.host, imap.port, imap.tls, imap.user, imap.password.reveal(), imap.folder)


def _report(page: Page, returns: Returns) -> None:
    total = sum(returns.counts.values())
    page.line(f"{counted(total, 'letter')} read." if total else "Nothing new came back.")
    for result, (words, style) in _SAID.items():
        if returns.counts[result]:
            page.line(f"{returns.counts[result]:>7,}  {words}", style)
    if returns.to_read:
        page.line(
            f"Acted on, and left for you to read as there is more in it: {counted(returns.to_read, 'letter')}.", "care"
        )
    if returns.suppressed:
        page.line(f"{counted(returns.suppressed, 'address')} suppressed: nothing more goes there.")
    if returns.arrived:
        page.line(f"{counted(returns.arrived, 'message')} that had been uncertain did leave: now sent.")
    if returns.left:
        page.line(f"{counted(returns.left, 'letter')} more wait for the next time.", "care")


def _as_json(returns: Returns) -> dict[str, int]:
    return {
        "letters": sum(returns.counts.values()),
        **{_KEYS.get(result, result): returns.counts[result] for result in _SAID},
        "to_read": returns.to_read,
        "suppressed": returns.suppressed,
        "now_sent": returns.arrived,
        "left": returns.left,
    }

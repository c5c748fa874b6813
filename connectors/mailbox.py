"""Mail that came back, as plain bytes: out of a maildir, an mbox or an IMAP mailbox. What it means is not asked here.

A letter is marked as read only by ``settle``, which the caller calls after its own commit: what is interrupted is read
again. Nothing is deleted, and no text of a server or a file is repeated in an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

#: Of a letter no more is read: what a mail server has to say stands at its beginning.
LARGEST: Final = 1_000_000
#: So many letters are read in one go; the others wait for the next.
MOST: Final = 10_000


class MailboxError(Exception):
    """A mailbox cannot be read now. The text is one plain sentence without personal data or secrets."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One letter. ``name`` says where it lies: for the mailbox, never for people."""

    name: str = field(repr=False)
    raw: bytes = field(repr=False)  #: at most ``LARGEST`` bytes, from its beginning


class Mailbox(Protocol):
    """A place where letters lie. ``left`` is how many were more than are read in one go; known after ``letters``."""

    left: int

    def letters(self) -> Iterator[Letter]:
        """Give the letters that were not read before. Raises ``MailboxError``."""
        ...

    def settle(self, letter: Letter, *, understood: bool) -> None:
        """Mark a letter as done; one that was not understood stays unread for a person. Raises ``MailboxError``."""
        ...

    def close(self) -> None:
        """End what is kept open. Never raises."""
        ...

"""Tokens of unsubscribe links, handed in at the command line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from engine.console.exits import FINE, WRONG
from engine.console.page import Page
from engine.console.session import Session
from engine.console.words import counted
from engine.dispatch.links import link_keys
from engine.dispatch.unsubscribing import unsubscribe


def unsubscribed(session: Session, tokens: Sequence[str], at: datetime) -> tuple[str, int]:
    """Take the word of each token, one by one; give what is said and the exit code: 1 where one is none of ours."""
    keys = link_keys(session.home.config, session.home.key)
    done: Counter[bool | None] = Counter()
    for token in tokens:
        with session.db.begin() as conn:
            done[unsubscribe(conn, keys, token, at, way="link")] += 1
    page = Page()
    if done[True]:
        page.line(f"{counted(done[True], 'guest')} unsubscribed: no more advertising goes there.", "good")
    if done[False]:
        page.line(f"{counted(done[False], 'guest')} had unsubscribed before.")
    if done[None]:
        is_none = "is no unsubscribe link" if done[None] == 1 else "are no unsubscribe links"
        page.line(f"{done[None]:,} of what you gave {is_none} of this home.", "bad")
    return page.text, WRONG if done[None] else FINE

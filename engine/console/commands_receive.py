"""What the web page of a home will be called with, fed by hand: `regulars receive ...`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from engine.console.options import as_of_option, say
from engine.console.program import in_home

if TYPE_CHECKING:
    from engine.console.session import Session


@click.group()
def receive() -> None:
    """Take in what came from outside, as the web page would: a guest's word, a provider's report."""


@receive.command("unsubscribe")
@click.argument("tokens", metavar="TOKEN|URL...", nargs=-1, required=True)
@as_of_option
@in_home
def receive_unsubscribe(session: Session, tokens: tuple[str, ...], as_of: str | None) -> int:
    """End the advertising to whom an unsubscribe link was sent: its token, the link, or the mailto: address."""
    from engine.console.receiving import unsubscribed

    said, code = unsubscribed(session, tokens, session.at(as_of))
    say(said)
    return code

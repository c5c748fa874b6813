"""Proving what is promised: `regulars verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from engine.console.options import as_of_option, format_option, say
from engine.console.program import in_home

if TYPE_CHECKING:
    from engine.console.session import Session


@click.command()
@format_option("text", "json")
@as_of_option
@in_home
def verify(session: Session, /, shape: str, as_of: str | None) -> int:
    """Prove anew, over the home's whole history, that nothing went out twice and nothing was lost."""
    from engine.console.verifying import verify as prove_all

    said, code = prove_all(session, shape, session.at(as_of))
    say(said)
    return code

"""The months of the ledger: `regulars months`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from engine.console.options import format_option, say
from engine.console.program import in_home

if TYPE_CHECKING:
    from engine.console.session import Session


@click.command()
@format_option("table", "json")
@in_home
def months(session: Session, /, shape: str) -> None:
    """Make the ledger's coming months, forget what `data: keep` lets go, and show what there is; runs do so too."""
    from engine.console.ledger import months as done

    say(done(session, shape))

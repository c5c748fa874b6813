"""Taking in what came back: `regulars bounces`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.console.options import format_option, say
from engine.console.program import in_home

if TYPE_CHECKING:
    from engine.console.session import Session


@click.command()
@click.option("--maildir", metavar="PATH", type=click.Path(path_type=Path), help="The folder with new and cur in it.")
@click.option("--mbox", metavar="PATH", type=click.Path(path_type=Path), help="One file with all letters.")
@format_option("text", "json")
@in_home
def bounces(session: Session, *, maildir: Path | None, mbox: Path | None, shape: str) -> int:
    """Take in the mail that came back: gone addresses, full mailboxes, complaints, unsubscriptions.

    Without a path it reads where `email: bounces: from:` in the config says. A run does that by itself.
    """
    from engine.console.bouncing import taken_in

    if maildir is not None and mbox is not None:
        raise click.UsageError("Give --maildir or --mbox, not both.")
    said, problems, code = taken_in(session, session.clock(), maildir=maildir, mbox=mbox, shape=shape)
    say(said)
    say("".join(f"{problem}\n" for problem in problems), err=True)
    return code

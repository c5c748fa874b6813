"""Keeping a home, and bringing it back: `regulars backup` and `regulars restore`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.console.options import by_option, say
from engine.console.program import CLOCK, in_home

if TYPE_CHECKING:
    from engine.console.session import Session


@click.command()
@click.argument("file", metavar="[FILE]", required=False, type=click.Path(path_type=Path))
@in_home
def backup(session: Session, file: Path | None) -> None:
    """Write the database, config, rules, templates and the key into one file, also during a run."""
    from engine.console import backing_up

    say(backing_up.backup(session, file, session.clock()))


@click.command()
@click.argument("file", metavar="[FILE]", required=False, type=click.Path(path_type=Path))
@click.option("--reconcile", is_flag=True, help="The database was brought back, or copied, by other means.")
@click.option(
    "--journal",
    "journals",
    metavar="DIR",
    multiple=True,
    type=click.Path(path_type=Path),
    help="The folder journal/ of another machine that sends from this database, as it is now; may be repeated.",
)
@click.option(
    "--hold", is_flag=True, help="The journal was put back too, as by a snapshot of the disk: let everything wait."
)
@by_option
@click.pass_context
def restore(
    ctx: click.Context,
    file: Path | None,
    by: str | None,
    *,
    reconcile: bool,
    hold: bool,
    journals: tuple[Path, ...],
) -> None:
    """Bring a backup back, and find out what was sent since, so that nobody gets it twice."""
    from engine.console import restoring

    if file is None and not reconcile:
        raise click.UsageError("Give a backup's FILE, or --reconcile for a database that is back in its place already.")
    root = ctx.find_object(Path) or Path()
    say(restoring.restored(root, os.environ, ctx.meta[CLOCK], file, by=by, hold=hold, journals=journals))

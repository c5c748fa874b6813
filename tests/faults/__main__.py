"""`python -m tests.faults [NAME...] [--tries N] [--seed S]`: every fault, a row of the table for each when it is done."""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import click
import postgres_server

from .tally import ForbiddenError, MissingError, Scale, Tally

#: Name of a group -> its module, which has ``FAULTS: dict[str, Callable[[Scale], Tally]]``.
MODULES: dict[str, str] = {
    "kills": "kills",
    "crowd": "crowd",
    "crons": "crons",
    "optouts": "optouts",
    "coupons": "coupon_races",
    "hostile": "hostile",
    "pressure": "pressure",
    "walks": "walks",
    "power": "power",
    "storage": "storage",
    "smtp": "smtp_faults",
    "twilio": "twilio_faults",
    "restarts": "restarts",
    "unusable": "unusable",
}

HEADING = ("fault", "tries", "accepted twice", "lost", "stuck", "uncertain", "seconds")
_WIDTH = 52


def faults(names: Sequence[str]) -> Iterator[tuple[str, Callable[[Scale], Tally]]]:
    """Give the faults of these groups, or these faults; all of them without a name. ``click.UsageError`` for no such."""
    unknown = set(names)
    for group, module in MODULES.items():
        for name, fault in importlib.import_module(f".{module}", __package__).FAULTS.items():
            if not names or {group, name} & set(names):
                unknown -= {group, name}
                yield name, fault
    if unknown:
        raise click.UsageError(f"No such fault: {', '.join(sorted(unknown))}. Groups: {', '.join(MODULES)}.")


def line(cells: Sequence[object]) -> str:
    first, *rest = (str(each) for each in cells)
    return " | ".join(
        [first.ljust(_WIDTH), *(each.rjust(len(head)) for each, head in zip(rest, HEADING[1:], strict=True))]
    )


@click.command()
@click.argument("names", nargs=-1)
@click.option("--tries", type=int, default=0, help="How often each is tried; without it each has its own number.")
@click.option("--seed", type=int, default=Scale.seed, show_default=True, help="The same seed, the same moments.")
@click.option("--sample", is_flag=True, help="Only the part that `make test` runs.")
def main(names: tuple[str, ...], tries: int, seed: int, sample: bool) -> None:
    """Inject every fault, or those NAMED, and count what became of the messages."""
    scale = Scale(everything=not sample, tries=tries, seed=seed)
    chosen = list(faults(names))
    postgres_server.announce()
    rows: list[Tally] = []
    skipped, missing = [], False
    click.echo(line(HEADING))
    click.echo(line(["-" * _WIDTH, *("-" * len(each) for each in HEADING[1:])]))
    try:
        for name, fault in chosen:
            began = time.monotonic()
            try:
                row = fault(scale)
            except MissingError as reason:
                skipped.append(f"{name}: {reason}")
                missing |= not isinstance(reason, ForbiddenError)
                continue
            except Exception as error:  # noqa: BLE001 (the other faults are still to be tried)
                row = Tally(name, wrong=(f"{type(error).__name__}: {error}",))
            row = replace(row, fault=name, seconds=row.seconds or time.monotonic() - began)
            click.echo(
                line([row.fault, row.tries, row.twice, row.lost, row.stuck, row.uncertain, f"{row.seconds:.1f}"])
            )
            rows.append(row)
    finally:
        postgres_server.stop()
    tell(rows, skipped)
    sys.exit(not all(row.held for row in rows) or (missing and os.environ.get("REGULARS_REQUIRE_FAULTS") == "1"))


def tell(rows: Sequence[Tally], skipped: Sequence[str]) -> None:
    """Say what the rows have to add, what was passed over, and what did not hold."""
    for row in rows:
        if row.note:
            click.echo(f"{row.fault}: {row.note}")
    for each in skipped:
        click.echo(f"skipped: {each}")
    for row in rows:
        if not row.held:
            click.echo(f"FAILED: {row.fault}: of {row.tries} tries at most {row.window} may be uncertain")
            for sentence in row.wrong:
                click.echo(f"  {sentence}")


if __name__ == "__main__":
    main()

"""Sending what is due, and deciding about single messages: `regulars dispatch ...`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from engine.console.options import as_of_option, by_option, say, workers_option
from engine.console.program import in_home

if TYPE_CHECKING:
    from engine.console.hand import Decision
    from engine.console.session import Session


#: Ids of the log.
numbers = click.argument("numbers", metavar="ID...", nargs=-1, required=True, type=click.IntRange(1, 2**63 - 1))


@click.group(invoke_without_command=True)
@click.option("--limit", metavar="N", type=click.IntRange(1), help="At most so many messages.")
@workers_option("Send by up to so many processes at once.")
@as_of_option
@click.pass_context
def dispatch(ctx: click.Context, as_of: str | None, limit: int | None, workers: int) -> int | None:
    """Send what is due, without checking rules; or decide about single messages."""
    if ctx.invoked_subcommand is not None:
        if limit is not None or as_of is not None or workers != 1:
            raise click.UsageError(
                "--limit, --workers and --as-of are for sending what is due: give them without a command."
            )
        return None
    return int(ctx.invoke(_send, as_of=as_of, limit=limit, workers=workers))


@in_home
def _send(session: Session, *, as_of: str | None, limit: int | None, workers: int) -> int:
    from engine.console import run

    return _told(*run.send(session, None if as_of is None else session.at(as_of), limit=limit, workers=workers))


@dispatch.command("resolve")
@numbers
@click.option("--sent", "what", flag_value="sent", help="They arrived: you asked the guest, or the server's log.")
@click.option("--send-again", "what", flag_value="send-again", help="They did not: queue them again.")
@by_option
@as_of_option
@in_home
def resolve(session: Session, /, numbers: tuple[int, ...], what: str | None, by: str | None, as_of: str | None) -> int:
    """Say what became of `uncertain` messages, by their ids in the log."""
    if what == "sent":
        return _decided(session, numbers, "sent", by, as_of)
    if what is None:
        raise click.UsageError("Give --sent or --send-again: only a person can know which.")
    return _decided(session, numbers, "send-again", by, as_of)


@dispatch.command("retry")
@numbers
@by_option
@as_of_option
@in_home
def retry(session: Session, /, numbers: tuple[int, ...], by: str | None, as_of: str | None) -> int:
    """Queue again what was given up (`dead`), by its id in the log."""
    return _decided(session, numbers, "retry", by, as_of)


@dispatch.command("cancel")
@numbers
@by_option
@as_of_option
@in_home
def cancel(session: Session, /, numbers: tuple[int, ...], by: str | None, as_of: str | None) -> int:
    """Cancel what is held or waits, by its id in the log."""
    return _decided(session, numbers, "cancel", by, as_of)


def _decided(session: Session, numbers: tuple[int, ...], what: Decision, by: str | None, as_of: str | None) -> int:
    from engine.console import hand

    return _told(*hand.decide(session, numbers, what, by=session.by(by), at=session.at(as_of)))


def _told(said: str, problems: list[str], code: int) -> int:
    say(said)
    say("".join(f"{problem}\n" for problem in problems), err=True)
    return code

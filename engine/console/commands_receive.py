"""What the web page of a home will be called with, fed by hand: `regulars receive ...`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TextIO

import click

from engine.console.options import as_of_option, say
from engine.console.program import in_home

if TYPE_CHECKING:
    from engine.console.session import Session


#: One token of sixty-four begins with a dash; no option of ours is as long, or has only these letters.
_DASHED: Final = re.compile(r"-[A-Za-z0-9_-]{14,28}")


class TakesTokens(click.Command):
    """A command whose words may begin with a dash, as tokens do."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options first, then the words."""
        dashed = [] if "--" in args else [each for each in args if _DASHED.fullmatch(each)]
        others = [each for each in args if each not in dashed]
        return super().parse_args(ctx, [*others, "--", *dashed] if dashed else args)


@click.group()
def receive() -> None:
    """Take in what came from outside, as the web page would: a guest's word, a provider's report."""


@receive.command("unsubscribe", cls=TakesTokens)
@click.argument("tokens", metavar="TOKEN|URL...", nargs=-1, required=True)
@as_of_option
@in_home
def receive_unsubscribe(session: Session, tokens: tuple[str, ...], as_of: str | None) -> int:
    """End the advertising to whom an unsubscribe link was sent: its token, the link, or the mailto: address."""
    from engine.console.receiving import unsubscribed

    said, code = unsubscribed(session, tokens, session.at(as_of))
    say(said)
    return code


#: Requests that a web page kept, one JSON object a line.
kept = click.argument(
    "files", metavar="[FILE|-]...", nargs=-1, type=click.File("r", encoding="utf-8", errors="replace")
)


@receive.command("status")
@kept
@as_of_option
@in_home
def receive_status(session: Session, files: tuple[TextIO, ...], as_of: str | None) -> int:
    """Take in what Twilio told of messages: kept requests, a line {"url": ..., "signature": ..., "body": ...} each."""
    from engine.console.callbacks import statuses

    if not files:
        raise click.UsageError("Name a file of kept requests, or - for the input.")
    return _told(*statuses(session, files, session.at(as_of)))


@receive.command("sms")
@kept
@click.option("--from", "number", metavar="NUMBER", help="Who wrote it, where you have no kept request.")
@click.option("--text", metavar="TEXT", help="What the guest wrote.")
@as_of_option
@in_home
def receive_sms(
    session: Session, files: tuple[TextIO, ...], number: str | None, text: str | None, as_of: str | None
) -> int:
    """Take in what guests wrote back: STOP ends the advertising by SMS, START takes that back."""
    from engine.console.callbacks import one_text, texts

    if bool(files) == (number is not None) or (number is None) != (text is None):
        raise click.UsageError("Give --from and --text, or files of kept requests.")
    if number is not None and text is not None:
        return _told(*one_text(session, number, text, session.at(as_of)))
    return _told(*texts(session, files, session.at(as_of)))


def _told(said: str, refused: list[str], code: int) -> int:
    say(said)
    say("".join(f"{each}\n" for each in refused), err=True)
    return code

"""What the commands of the command line share: their options, and how text is printed and asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import click

from engine.language.phrases import LANGUAGES

as_of_option: Final = click.option(
    "--as-of", metavar="TIME", help="Another time than now, to try it out: 2026-05-04T10:00"
)
by_option: Final = click.option("--by", metavar="NAME", help="Who does it; else who is logged in.")


def workers_option(what: str) -> Callable[[Any], Any]:
    """Give the option ``--workers``, which does this to so many at once."""
    return click.option("--workers", metavar="N", type=click.IntRange(1, 64), default=1, help=what)


lang_option: Final = click.option(
    "--lang",
    type=click.Choice(LANGUAGES),
    envvar="REGULARS_LANG",
    default=LANGUAGES[0],
    show_default=True,
    help="Language of problems and of what rules do: English or Chinese.",
)


def format_option(*shapes: str) -> Callable[[Any], Any]:
    """Make the option ``--format``; the first shape is what is printed without it."""
    return click.option("--format", "shape", type=click.Choice(shapes), default=shapes[0], show_default=True)


def language() -> str:
    """Give what ``--lang`` says of the command under way."""
    chosen: str = click.get_current_context().find_root().params.get("lang", LANGUAGES[0])
    return chosen


def say(text: str, *, err: bool = False) -> None:
    """Print text that ends its own lines and knows by itself whether to be coloured."""
    click.echo(text, nl=False, err=err, color=True)


def ask(words: str, suggestion: str, check: Callable[[str], str]) -> str:
    """Ask the person at the terminal, until ``check`` takes the answer (``ValueError`` says what is wrong with one)."""

    def checked(text: str) -> str:
        try:
            return check(text)
        except ValueError as error:
            raise click.UsageError(str(error)) from None

    answer: str = click.prompt(words, default=suggestion, show_default=bool(suggestion), value_proc=checked)
    return answer

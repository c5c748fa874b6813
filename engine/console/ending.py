"""How a command is run to its end: what a person can do something about is a sentence and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

import click


def ended(ctx: click.Context, command: Callable[[], Any], clock: Callable[[], datetime]) -> int:
    """Run one command and give its exit code; ``exits.py`` has the codes. Never a traceback.

    click's own exceptions (a mistyped command) pass: it prints them itself.
    """
    from engine.console import exits, page

    page.speak_utf8()
    try:
        result = command()
        sys.stdout.flush()
    except (click.ClickException, click.exceptions.Exit):
        raise
    except (KeyboardInterrupt, click.Abort):
        click.echo("\nInterrupted. The next run takes up what was under way.", err=True)
        return exits.INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads any more
        return exits.READER_GONE
    except Exception as error:  # noqa: BLE001 (the last net: what nobody expected is written down as a bug)
        color = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
        name = ctx.invoked_subcommand or ""
        code, said = exits.end(error, command=name, now=clock(), color=color, language=ctx.params["lang"])
        click.echo(said, err=True)
        return code
    return result if isinstance(result, int) else exits.FINE

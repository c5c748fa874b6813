"""What a command of the command line stands in: the home that it works in, opened around it."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final

import click

from engine.console.options import language

#: Where ``cli.py`` leaves its clock, the only one of the program, for the commands: in the context's ``meta``.
CLOCK: Final = "regulars.clock"
#: And what tells how long the machine has been on.
UPTIME: Final = "regulars.uptime"


#: Commands that are done when they are done. All others answer a person, and wait no longer for the database than one.
WORK: Final = frozenset(
    {"backup", "bounces", "customer", "demo", "dispatch", "doctor", "import", "months", "restore", "run", "verify"}
)


def in_home(command: Callable[..., Any]) -> Callable[..., Any]:
    """Open the home and its database around a command, which is given the session."""

    @wraps(command)
    @click.pass_context
    def opened_command(ctx: click.Context, /, **given: Any) -> Any:
        from engine.console.session import opened
        from engine.database.engines import ANSWER

        root: Path = ctx.find_object(Path) or Path()
        asks = WORK.isdisjoint(ctx.command_path.split())
        with opened(
            root, os.environ, ctx.meta[CLOCK], language(), ctx.meta[UPTIME], answer=ANSWER if asks else None
        ) as session:
            return command(session, **given)

    return opened_command

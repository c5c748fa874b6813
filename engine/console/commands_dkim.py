"""Keys for signing mail: `regulars dkim`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from engine.console.options import say
from engine.console.program import CLOCK


@click.command()
@click.option("--new", "selector", metavar="SELECTOR", help="Make a key, named so in the DNS: such as mail2026.")
@click.option("--ed25519", is_flag=True, help="With --new: a short modern key, beside an RSA one; not all check it.")
@click.pass_context
def dkim(ctx: click.Context, selector: str | None, *, ed25519: bool) -> None:
    """Make a key that signs your mail (DKIM), or print what belongs into the DNS for those of the config."""
    from engine.console import signing_keys

    if ed25519 and selector is None:
        raise click.UsageError("--ed25519 says of what kind a --new key shall be.")
    root = ctx.find_object(Path) or Path()
    if selector is None:
        say(signing_keys.records(root, os.environ, ctx.meta[CLOCK]().date()))
    else:
        kind = signing_keys.ED25519 if ed25519 else signing_keys.RSA
        say(signing_keys.make(root, os.environ, ctx.meta[CLOCK]().date(), selector, kind))

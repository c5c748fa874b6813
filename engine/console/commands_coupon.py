"""The commands of the counter: `regulars coupon ...`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from engine.console.options import as_of_option, by_option, format_option, say
from engine.console.program import in_home

if TYPE_CHECKING:
    from engine.console.session import Session


@click.group()
def coupon() -> None:
    """Coupons at the counter."""


@coupon.command("show")
@click.argument("code")
@format_option("text", "json")
@as_of_option
@in_home
def coupon_show(session: Session, code: str, shape: str, as_of: str | None) -> None:
    """Show whose a coupon is, and whether it is good."""
    from engine.console.coupon import shown_coupon

    say(shown_coupon(session, code, session.at(as_of), shape))


@coupon.command("redeem")
@click.argument("code")
@click.option("--order", metavar="ID", help="The order that it was taken for.")
@by_option
@as_of_option
@in_home
def coupon_redeem(session: Session, code: str, order: str | None, by: str | None, as_of: str | None) -> None:
    """Take a coupon: once."""
    from engine.console.coupon import redeemed

    say(redeemed(session, code, order=order, at=session.at(as_of), by=session.by(by)))

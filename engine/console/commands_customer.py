"""The commands about one guest: `regulars customer ...`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from engine.console.options import as_of_option, by_option, format_option, say
from engine.console.program import in_home

if TYPE_CHECKING:
    from engine.console.session import Session


@click.group()
def customer() -> None:
    """Guests who ask: what is known, what may be sent, being forgotten."""


@customer.command("show")
@click.argument("who", metavar="ID")
@format_option("text", "json")
@as_of_option
@in_home
def customer_show(session: Session, who: str, shape: str, as_of: str | None) -> None:
    """Show everything that is known of a guest: id, email address or phone number."""
    from engine.console.customer import shown_customer

    say(shown_customer(session, who, session.at(as_of), shape))


@customer.command("consent")
@click.argument("who", metavar="ID")
@click.option("--email", type=click.Choice(["yes", "no", "implied"]))
@click.option("--sms", type=click.Choice(["yes", "no", "implied"]))
@click.option("--topic", metavar="TOPIC", help="Of the config; all marketing if left out.")
@by_option
@in_home
def customer_consent(session: Session, /, who: str, topic: str | None, by: str | None, **said: str | None) -> None:
    """Record what a guest says about marketing."""
    from engine.console.customer import consent

    say(consent(session, who, said, topic=topic, by=session.by(by)))


@customer.command("reachable")
@click.argument("who", metavar="ID")
@click.option("--email", "channels", flag_value="email", multiple=True, help="The email address is in order again.")
@click.option("--sms", "channels", flag_value="sms", multiple=True, help="The phone number is.")
@by_option
@in_home
def customer_reachable(session: Session, who: str, channels: tuple[str, ...], by: str | None) -> None:
    """Let messages go again to an address that was blocked because they came back."""
    from engine.console.reachable import reachable

    say(reachable(session, who, channels, by=session.by(by)))


@customer.command("erase")
@click.argument("who", metavar="ID")
@click.option("--yes", is_flag=True, help="Do not ask.")
@by_option
@in_home
def customer_erase(session: Session, who: str, yes: bool, by: str | None) -> None:
    """Forget a guest: name, addresses, birthday, comments, messages. The orders stay, without a person."""
    from engine.console.customer import erase, question

    if not yes:
        click.confirm(question(session, who), abort=True)
    say(erase(session, who, by=session.by(by)))

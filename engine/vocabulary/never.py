"""What a rule says that can never do anything, or does nothing any more: told, so that nobody waits for it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from engine.language.phrases import phrase
from engine.language.rule import Active, Limits, Send, Step
from engine.vocabulary.actions import Coupon
from engine.vocabulary.reading import Reader
from engine.vocabulary.steps import once_each

_ALL = 10_000  #: 100% in hundredths of a percent
_WANTS_MONEY = "coupon_value"


def check_never(reader: Reader, steps: Iterable[Step], active: Active, send: Send) -> None:
    """Warn of what is over, and of what leaves nobody; ``today`` is known only where the home is looked at."""
    today = reader.around.today
    if send.within is not None and send.within.amount == 0:
        said = phrase('"within" is {length}: nothing could ever go out in time', length=send.within)
        reader.under("send", "within").problem(
            said, "empty-range", hint=phrase("such as {duration}", duration="2 days")
        )
    if today is not None and active.until is not None and active.until < today:
        said = phrase("the rule is over since {until}: it does nothing any more", until=active.until)
        hint = phrase('write a later day; or "active: false", which says so')
        reader.under("active", "until").problem(said, "over", hint=hint, severity="warning")
        return
    for step in once_each(steps) if active.switch and today is not None else ():
        valid = step.settings.valid if isinstance(step.settings, Coupon) else None
        if today is not None and isinstance(valid, date) and valid < today:
            said = phrase("a coupon valid until {day} is over before a guest has it", day=valid)
            hint = phrase("write a later day, or how long each coupon is valid, such as 14 days")
            reader.under(*step.at, "coupon", "valid").problem(said, "over", hint=hint, severity="warning")


def check_holdout(reader: Reader, share: int) -> None:
    """Warn of a rule whose guests are all held out."""
    if share == _ALL:
        said = phrase("with 100% held out nobody gets anything")
        hint = phrase('to stop a rule write "active: false"')
        reader.under("holdout").problem(said, "nobody", hint=hint, severity="warning")


def check_whole(reader: Reader, limits: Limits) -> None:
    """Warn of a budget of one and a half messages."""
    for kind, budget in limits.budget.items():
        if kind != _WANTS_MONEY and budget.amount != budget.amount.to_integral_value():
            whole = int(budget.amount)
            said = phrase('"{kind}" counts whole ones: of {amount} it is {n}', kind=kind, amount=budget.amount, n=whole)
            reader.under("limits", "budget", kind).problem(said, "not-whole", severity="warning")

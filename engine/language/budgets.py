"""Budgets: so much a day or a month, on the home's calendar."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Final, Literal

from engine.language.phrases import meant, phrase

Kind = Literal["email", "sms", "messages", "sms_segments", "coupons", "coupon_value"]
KINDS: Final[tuple[Kind, ...]] = ("email", "sms", "messages", "sms_segments", "coupons", "coupon_value")

_BUDGET = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) a (day|month)")
_OTHERWISE = re.compile(
    r"([0-9][0-9,' ]*(?:\.[0-9]{1,3})?)\s*(?:(?:a|an|per|each|every|/)\s*)?(day|daily|month|monthly)s?", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Budget:
    """So much a period. ``amount`` is as the owner wrote it: messages, or for ``coupon_value`` the home's currency."""

    amount: Decimal
    period: Literal["day", "month"]

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read ``500 a month`` or ``1000 a day``. ``ValueError`` explains any other text."""
        found = _BUDGET.fullmatch(text.strip())
        if found is None:
            near, instead = _OTHERWISE.fullmatch(text.strip()), None
            if near:
                number = re.sub(r"[^0-9.]", "", near.group(1))
                instead = f"{number} a {'day' if near.group(2).lower().startswith('da') else 'month'}"
            if instead and not _BUDGET.fullmatch(instead):
                raise ValueError(phrase('"{text}" is too much: {most} is the most', text=text, most="999999999"))
            raise ValueError(
                phrase(
                    '"{text}" is not a budget such as 500 a month or 50 a day{meant}', text=text, meant=meant(instead)
                )
            )
        amount = Decimal(found.group(1))
        if not amount:
            raise ValueError(phrase('"{text}" lets nothing out; to stop a rule write "active: false"', text=text))
        return cls(amount, "day" if found.group(2) == "day" else "month")

    def begins(self, day: date) -> date:
        """Give the first day of the period that ``day`` is in."""
        return day if self.period == "day" else day.replace(day=1)

    def renews(self, day: date) -> date:
        """Give the first day of the period after the one that ``day`` is in."""
        if self.period == "day":
            return day + timedelta(days=1)
        return (day.replace(day=1) + timedelta(days=32)).replace(day=1)

    def __str__(self) -> str:
        return f"{self.amount:f} a {self.period}"

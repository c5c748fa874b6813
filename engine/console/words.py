"""The engine's codes in an owner's words, and numbers, days and addresses as people read them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

#: Why a guest was refused, a message did not go, or waits. A code that is not here is shown as it is.
REASONS: Final[Mapping[str, str]] = {
    "expired": "the occasion had passed before a run looked",
    "again_too_soon": "got something of this rule too lately",
    "excluded": "never gets marketing (exclude in config/regulars.yaml)",
    "no_endpoint": "no address",
    "suppressed": "address is blocked: unsubscribed, bounced or complained",
    "no_consent": "no consent",
    "consent_ended": "the implied consent has ended: no order or enquiry lately enough",
    "no_refusal_number": "the law of the guest's country wants a number for refusals (config/compliance)",
    "duplicate_endpoint": "another guest with the same address gets it",
    "too_late": "too late before it could go out",
    "late": "too late before it could go out",
    "first_approval": "the rule was never approved",
    "changed": "the rule was changed since it was approved",
    "max_matches": "more guests than its max_matches",
    "blast": "more guests than the share that limits: blast allows",
    "came_back": "the guest came back",
    "used": "nothing is left of what was about to expire",
    "stop_if": "what the rule names under stop_if was true by then",
    "budget": "the budget of the period is spent",
    "only_if": "what the step asks under only_if did not hold by then",
    "stopped": "the red button is pressed (regulars start)",
    "erased": "the guest was erased",
    "rule_off": "the rule is switched off",
    "hours": "outside the hours",
    "capped": "over the limit of marketing messages",
    "never_open": "the hours leave no moment for it",
    "no_message": "no message could show the coupon",
    "no_points": "there was nothing to add or to take",
    "bad_terms": "the offer's terms cannot be read",
    "rule_unreadable": "the rule as it was at the match cannot be read any more",
    "template": "the template cannot be made into a message",
    "no_recipient": "there is nobody to write to (contacts in config/regulars.yaml)",
    "poison": "broke the sending three times",
    "abandoned": "the run that held it was ended",
    "restored": "may have gone out already: the database was restored since",
    "copied": "the database was copied or restored",
    "clock": "the clock jumped ahead, or the machine was off for days",
    "journal": "the journal could not be written, so it stayed here",
    "no_answer": "the line broke in the moment of sending",
    "no_fence": "the connector sent without asking",
    "not_now": "the provider said: not now",
    "attempts": "tried too often",
    "refused": "the provider refused it",
    "sender_refused": "the provider refused us, not the guest",
    "no_such_address": "there is no such address",
    "mailbox_full": "the mailbox is full",
    "unusable": "the address cannot be used",
    "opted_out": "the guest opted out with the provider",
    "returned": "a letter that came back showed that it had left",
    "staff": "by staff",
}

#: Singular of what is counted; the plural has an s unless it is here.
_PLURALS: Final = {"match": "matches", "journey": "journeys", "person": "people", "address": "addresses"}
CHANNELS: Final[Mapping[str, str]] = {
    "email": "email",
    "sms": "SMS",
    "coupon": "coupon",
    "points": "points",
    "tag": "tag",
    "alert": "alert",
    "webhook": "webhook",
}


def reason(code: str | None) -> str:
    """Say a reason in words; a compound code such as ``refused: 550`` keeps its end."""
    if code is None:
        return ""
    head, separator, rest = code.partition(":")
    said = REASONS.get(head, head.replace("_", " "))
    return f"{said}{separator}{rest}"


def counted(number: int, what: str) -> str:
    """Say ``1 guest``, ``1,204 guests``, ``no guests``."""
    shown = f"{number:,}" if number else "no"
    return f"{shown} {what if number == 1 else _PLURALS.get(what, f'{what}s')}"


def tally(counts: Mapping[str, int]) -> str:
    """Say ``3 sent, 2 blocked``; the greatest first."""
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items(), key=lambda one: (-one[1], one[0])))


def moment(at: datetime | None, zone: ZoneInfo) -> str:
    """Say an instant on the home's clock: ``2026-05-04 10:00``."""
    return "" if at is None else f"{at.astimezone(zone):%Y-%m-%d %H:%M}"


def day(at: date) -> str:
    """Say a day with its weekday: ``Mon 2026-05-04``."""
    return f"{at:%a %Y-%m-%d}"


def money(amount: int | None, currency: str) -> str:
    """Say minor units of the home's currency: ``12.50 USD``."""
    from engine.language.formats import currency_digits

    if amount is None:
        return ""
    digits = currency_digits(currency)
    return f"{amount / 10**digits:,.{digits}f} {currency}"


def masked(address: str | None) -> str:
    """Hide most of an address or a number: ``l***@example.com``, ``+1***42``."""
    if not address:
        return ""
    local, at, domain = address.rpartition("@")
    if at:
        return f"{local[0] if len(local) > 1 else ''}***@{domain}"
    return f"{address[:2]}***{address[-2:]}" if re.fullmatch(r"\+\d{7,}", address) else "***"

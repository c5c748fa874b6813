"""What the messages of a dry run would cost: how many, as how many SMS they are billed, in which country."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from sqlalchemy import Connection, func, select, update

from engine.console.page import Column, Page
from engine.database.tables import coupons, dispatches, endpoints, matches, rules
from engine.dispatch.channels import CannotSendError, Channels
from engine.dispatch.claims import Claim, read_claims
from engine.dispatch.coupons import valid_until
from engine.dispatch.drafting import Drafts, NoRecipientError
from engine.dispatch.mime import MessageError
from engine.dispatch.render import RenderError
from engine.language.codes import draw
from engine.language.formats import currency_digits
from engine.language.sms import segments
from engine.vocabulary.home import Home

#: So many SMS of one step are written out to count their segments; of more, so many spread evenly over all.
MOST: Final = 100


@dataclass(frozen=True, slots=True)
class CountryCost:
    """What goes into one country. ``price`` is that of a segment, in the home's currency; None: nobody said."""

    country: str
    messages: int
    segments: int
    price: Decimal | None

    @property
    def cost(self) -> Decimal | None:
        """Give what it costs, in the home's currency."""
        return None if self.price is None else self.price * self.segments


@dataclass
class Costs:
    """Counts inside the transaction of a dry run: ``run_due(..., look=costs.look)``. ``look`` fills the rest."""

    home: Home
    at: datetime
    emails: int = 0
    countries: Sequence[CountryCost] = ()
    estimated: bool = False  #: not every SMS was written out
    _drafts: Drafts = field(init=False)

    def __post_init__(self) -> None:
        self._drafts = Drafts(self.home, Channels(self.home.root, self.home.config, lambda: self.at))

    @property
    def messages(self) -> int:
        """How many SMS."""
        return sum(each.messages for each in self.countries)

    @property
    def segments(self) -> int:
        """As how many they are billed."""
        return sum(each.segments for each in self.countries)

    @property
    def cost(self) -> Decimal | None:
        """What they cost in the home's currency; None where a price is not known."""
        known = [each.cost for each in self.countries if each.cost is not None]
        return sum(known, start=Decimal(0)) if len(known) == len(self.countries) else None

    def look(self, conn: Connection, run: int, *_: object) -> None:
        """Count everything of the run that would go out. What it writes is rolled back with the run."""
        waits = (matches.c.run_id == run, dispatches.c.state.in_(("pending", "held")))
        of_run = dispatches.join(matches, matches.c.id == dispatches.c.match_id)
        emails = select(func.count()).select_from(of_run).where(*waits, dispatches.c.channel == "email")
        self.emails = int(conn.scalar(emails) or 0)
        rows = conn.execute(
            select(dispatches.c.id, rules.c.rule, dispatches.c.step, endpoints.c.country)
            .select_from(
                of_run.join(rules, rules.c.id == dispatches.c.rule_id).join(
                    endpoints, endpoints.c.id == dispatches.c.endpoint_id
                )
            )
            .where(*waits, dispatches.c.channel == "sms")
            .order_by(dispatches.c.id)
        )
        steps: dict[tuple[str, int], list[tuple[int, str]]] = defaultdict(list)
        for row in rows:
            steps[row.rule, row.step].append((row.id, row.country or self.home.config.business.country))
        totals: dict[str, list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
        for (rule, _step), sms in steps.items():
            for country, (number, billed) in self._of_step(conn, rule, sms).items():
                totals[country][0] += number
                totals[country][1] += billed
        prices = self.home.config.sms.prices
        self.countries = [
            CountryCost(country, int(number), _rounded(billed), prices.get(country, prices.get("default")))
            for country, (number, billed) in sorted(totals.items())
        ]

    def _of_step(
        self, conn: Connection, rule: str, sms: Sequence[tuple[int, str]]
    ) -> Mapping[str, tuple[int, Decimal]]:
        """Give, by country, how many SMS of one step there are and as how many they are billed."""
        chosen = sms if len(sms) <= MOST else [sms[index * len(sms) // MOST] for index in range(MOST)]
        self.estimated |= len(chosen) < len(sms)
        written = self._written(conn, rule, [number for number, _ in chosen])
        mean = Decimal(sum(written.values())) / len(written)
        found: dict[str, tuple[int, Decimal]] = {}
        for number, country in sms:
            count, billed = found.get(country, (0, Decimal(0)))
            found[country] = (count + 1, billed + (written.get(number, mean) if len(chosen) == len(sms) else mean))
        return found

    def _written(self, conn: Connection, rule: str, numbers: Sequence[int]) -> dict[int, int]:
        """Write SMS out as they would go, each with a code of its own where it shows one; give their segments."""
        claims = read_claims(conn, numbers)
        self._draw(conn, claims)
        made = next(each for each in self.home.rules if each.id == rule)
        found = {}
        for claim in claims:
            try:
                message = self._drafts.compose(self._drafts.read(conn, made, [claim], self.at), [claim], self.at)
            except (CannotSendError, NoRecipientError, RenderError, MessageError):  # `preview` says what is wrong
                found[claim.id] = 1
            else:
                found[claim.id] = segments(str(message.body)).count
        return found

    def _draw(self, conn: Connection, claims: Sequence[Claim]) -> None:
        zones = {claim.match_id: claim.zone for claim in claims}
        issued = conn.execute(
            select(coupons.c.id, coupons.c.terms, dispatches.c.match_id)
            .join(dispatches, dispatches.c.id == coupons.c.dispatch_id)
            .where(dispatches.c.match_id.in_(zones), coupons.c.code.is_(None))
        ).all()
        for each in issued:
            until = valid_until(each.terms, self.at, zones[each.match_id], self.home.config.day_starts)
            conn.execute(update(coupons).where(coupons.c.id == each.id).values(code=draw(), valid_until=until))

    def to_json(self) -> dict[str, Any]:
        """Give the object ``cost`` of ``run --dry-run --format json``; its keys are stable, amounts are texts."""
        currency = self.home.config.business.currency
        return {
            "currency": currency,
            "emails": self.emails,
            "sms": self.messages,
            "segments": self.segments,
            "estimated": self.estimated,
            "cost": _amount(self.cost, currency),
            "countries": [
                {
                    "country": each.country,
                    "sms": each.messages,
                    "segments": each.segments,
                    "cost": _amount(each.cost, currency),
                }
                for each in self.countries
            ],
        }


def cost_report(page: Page, costs: Costs) -> None:
    """Say what the SMS cost if all of them go out; nothing where there are none."""
    if not costs.messages:
        return
    page.heading("What the SMS cost")
    currency = costs.home.config.business.currency
    about = "about " if costs.estimated else ""
    total = costs.cost
    said = f"{costs.messages:,} SMS, billed as {about}{costs.segments:,}"
    said += f": {about}{_amount(total, currency)} {currency}." if total is not None else "."
    page.line(f"{said} What is left out later, because a guest comes back or the like, costs nothing.", indent=2)
    if costs.estimated:
        page.line(f"Of each step with more than {MOST}, {MOST} were written out and counted.", "faint", indent=2)
    if total is None:
        page.line("Put what an SMS costs you into config/regulars.yaml (sms: prices), for each country.", indent=2)
    if len(costs.countries) > 1:
        columns = [Column("country"), *(Column(name, right=True) for name in ("SMS", "billed", currency))]
        rows = [
            (each.country, f"{each.messages:,}", f"{each.segments:,}", _amount(each.cost, currency) or "no price")
            for each in costs.countries
        ]
        page.table(columns, rows, indent=2)


def _amount(cost: Decimal | None, currency: str) -> str | None:
    if cost is None:
        return None
    return str(cost.quantize(Decimal(1).scaleb(-currency_digits(currency)), ROUND_HALF_UP))


def _rounded(number: Decimal) -> int:
    return int(number.to_integral_value(ROUND_HALF_UP))

"""Names that an owner's files speak of and that the data does not know: a product, a store, a tag misspelt."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final

from sqlalchemy import Column, Connection, Select, select

from engine.database.tables import (
    customers,
    events,
    order_items,
    orders,
    points,
    products,
    ratings,
    rules,
    stores,
    tags,
)
from engine.language.check import nearest
from engine.language.phrases import Phrase, listed, meant, phrase
from engine.language.problems import Problem
from engine.language.textkey import text_key
from engine.vocabulary.mentions import Kind, Mention

#: A chain has hundreds of millions of rows; the newest of them know every name that still matters.
_NEWEST: Final = 100_000
_GUESTS: Final = 5_000
_SHOWN: Final = 12

_NOUNS: Final[Mapping[Kind, Phrase]] = {
    "attribute": phrase("attribute"),
    "category": phrase("category"),
    "channel": phrase("channel"),
    "city": phrase("city"),
    "event": phrase("event"),
    "gender": phrase("gender"),
    "ledger": phrase("ledger of points"),
    "product": phrase("product"),
    "rating source": phrase("source of ratings"),
    "rule": phrase("rule"),
    "store": phrase("store"),
    "tag": phrase("tag"),
    "tier": phrase("tier"),
}


def strange_names(conn: Connection, mentions: Iterable[Mention], made: Mapping[Kind, Iterable[str]]) -> list[Problem]:
    """Give a warning for each name that is neither in the data nor among those that the home's own files make.

    Of a kind of which the data has nothing at all there is nothing to tell; but without items nobody is known to have
    had none of a product, and that is told.
    """
    known: dict[Kind, Collection[str]] = {}
    problems = []
    mentions = list(mentions)
    own = {kind: [*names] for kind, names in made.items()}
    for mention in mentions:
        if mention.made:
            own.setdefault(mention.kind, []).append(mention.name)
    for mention in mentions:
        kind = mention.kind
        if mention.made:
            continue
        if kind not in known:
            known[kind] = sorted({*own.get(kind, ()), *_KNOWN[kind](conn)} - {""})
        if not known[kind]:
            if kind in {"product", "category"} and _has_orders(conn):
                problems.append(_without_items(mention))
            elif kind == "attribute" and conn.scalar(select(customers.c.id).limit(1)) is not None:
                problems.append(_strange(mention, ()))
        elif not _is_known(mention.name, known[kind], exactly=kind in {"ledger", "rule", "attribute"}):
            problems.append(_strange(mention, known[kind]))
    return problems


def _is_known(name: str, known: Collection[str], *, exactly: bool) -> bool:
    if exactly:
        return name in known
    pattern = re.compile(".*".join(re.escape(part) for part in text_key(name).split("*")), re.DOTALL)
    return any(pattern.fullmatch(text_key(each)) for each in known)


def _strange(mention: Mention, known: Collection[str]) -> Problem:
    shown = [*known][:_SHOWN]
    names = listed(shown) if len(known) <= _SHOWN else phrase("{names} ...", names=listed(shown))
    names = names if known else phrase("none yet")
    near = None if "*" in mention.name else nearest(mention.name, known)
    return mention.document.problem(
        mention.at,
        phrase(
            'no {kind} in the data is called "{name}"{meant}',
            kind=_NOUNS[mention.kind],
            name=mention.name,
            meant=meant(near),
        ),
        "not-in-the-data",
        on="key" if mention.on_key else "value",
        hint=phrase("known so far: {names}", names=names),
        severity="warning",
    )


def _without_items(mention: Mention) -> Problem:
    said = phrase('no order in the data has items, so none is known with "{name}"', name=mention.name)
    if mention.never:
        said = phrase(
            'this holds for nobody: without the items of orders nobody is known to have had no "{name}"',
            name=mention.name,
        )
    return mention.document.problem(
        mention.at,
        said,
        "no-items",
        hint=phrase("import them: regulars import order_items FILE"),
        severity="warning",
    )


def _has_orders(conn: Connection) -> bool:
    return conn.scalar(select(orders.c.id).limit(1)) is not None


def _texts(asked: Select[Any]) -> Callable[[Connection], Iterable[str]]:
    return lambda conn: [str(each) for each in conn.scalars(asked) if each is not None]


def _newest(column: Column[Any]) -> Callable[[Connection], Iterable[str]]:
    table = column.table
    lately = select(column).order_by(table.c.id.desc()).limit(_NEWEST).subquery()
    return _texts(select(lately.c[column.name]).distinct())


def _stores(conn: Connection) -> Iterable[str]:
    return [each for row in conn.execute(select(stores.c.name, stores.c.external_id)) for each in row]


def _sold(column: Column[Any]) -> Callable[[Connection], Iterable[str]]:
    """Products stand in the list only because some order had them; it may be long, an order's items much longer."""
    asked = select(column).distinct().where(select(order_items.c.id).limit(1).exists())
    return _texts(asked)


def _attributes(conn: Connection) -> Iterable[str]:
    lately = select(customers.c.attributes).order_by(customers.c.id.desc()).limit(_GUESTS)
    return {name for each in conn.scalars(lately) for name in each or {}}


_KNOWN: Final[Mapping[Kind, Callable[[Connection], Iterable[str]]]] = {
    "attribute": _attributes,
    "category": _sold(products.c.category),
    "channel": _newest(orders.c.channel),
    "city": _newest(customers.c.city),
    "event": _newest(events.c.name),
    "gender": _newest(customers.c.gender),
    "ledger": _newest(points.c.ledger),
    "product": _sold(products.c.name),
    "rating source": _newest(ratings.c.platform),
    "rule": _texts(select(rules.c.rule)),
    "store": _stores,
    "tag": _texts(select(tags.c.tag).distinct()),
    "tier": _newest(customers.c.tier),
}

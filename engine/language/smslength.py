"""How long an SMS template becomes: rendered with sample values, counted in segments."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from engine.language import codes
from engine.language.compliance import Texts, with_texts
from engine.language.phrases import phrase
from engine.language.pieces import pieces
from engine.language.placeholders import ANYTHING, FILTERS, NAMES, ListOf, Shape
from engine.language.problems import Problem, whole_file

if TYPE_CHECKING:
    from jinja2 import Environment

#: What templates are measured with for the business: a template that names it must not get the name twice.
SAMPLE_NAME: Final = "Corner Café"
#: About as long as real ones, and in letters that every phone has. A dotted name goes before its last part.
_SAMPLES: Final[Mapping[str, Any]] = {
    "first_name": "Jasmine",
    "name": SAMPLE_NAME,
    "customer.name": "Jasmine Miller",
    "coupon.name": "20% off your next visit",
    "code": codes.shown("K7QM2XRT9BWNH"),
    "phone": "+15005550101",
    "email": "jasmine@example.com",
    "comment": "The soup was cold and we waited too long.",
    "unsubscribe": "https://corner.example/r/u/AAAAAAAAAAAAAAAAAAA",
    "address": "12 Mill Lane, Springfield",
    "score": 2,
    "points": 120,
}
_CHINESE_SAMPLES: Final[Mapping[str, Any]] = {
    **_SAMPLES,
    "first_name": "小丽",
    "customer.name": "王小丽",
    "coupon.name": "下次消费八折",
    "comment": "汤是凉的，等了很久。",
}
_BY_KIND: Final[Mapping[str, Any]] = {
    "text": "Springfield",
    "number": 12,
    "money": "$12.50",
    "day": "May 14, 2026",
    "instant": "May 14, 2026",
    "image": "",
    ANYTHING: "something",
}
_CHINESE_DAY: Final = "2026年5月14日"
_CHINESE = re.compile("[\u4e00-\u9fff]")


def check_length(text: str, shown: str, required: Texts) -> list[Problem]:
    """Warn of an SMS that takes more than one segment: each one is paid for.

    ``required`` is what the law of the home's country wants to stand in it: it is added.
    """
    from jinja2 import TemplateError

    from engine.language.sms import segments

    try:
        rendered = _rendered(text, _CHINESE.search(text) is not None)
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError):
        return []  # the sample does not suit this template; its length is counted at the preview
    size = segments(with_texts(required, " ".join(rendered.split())))
    if size.count <= 1:
        return []
    message = phrase(
        "with usual values this SMS takes {n} segments ({encoding}), and each is paid for",
        n=size.count,
        encoding=size.encoding,
    )
    hint = phrase("160 letters fit into one; 70 where a sign is outside the GSM alphabet, such as Chinese or an emoji")
    return [whole_file(shown, message, "sms-length", hint=hint, severity="warning")]


def _rendered(text: str, chinese: bool) -> str:
    """Fill a text in; one of plain text and values value by value, for the same ones stand in many texts."""
    known = pieces(text)
    if known is None or not known.parts:
        return _whole(text, chinese)
    return "".join(_whole(part, chinese) if number % 2 else part for number, part in enumerate(known.parts))


@lru_cache(maxsize=10_000)
def _whole(text: str, chinese: bool) -> str:
    return _environment().from_string(text).render(_sample_values(chinese))


@cache
def _environment() -> Environment:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    for name in FILTERS:
        environment.filters.setdefault(name, lambda value, *_args, **_settings: value)
    return environment


@cache
def _sample_values(chinese: bool) -> Mapping[str, Any]:
    return {name: _sample((name,), shape, chinese) for name, shape in NAMES.items()}


def _sample(path: tuple[str, ...], shape: Shape, chinese: bool) -> Any:
    if isinstance(shape, ListOf):
        return [_sample(path, shape.of, chinese)]
    if isinstance(shape, Mapping):
        return SimpleNamespace(**{key: _sample((*path, key), below, chinese) for key, below in shape.items()})
    samples = _CHINESE_SAMPLES if chinese else _SAMPLES
    usual = _CHINESE_DAY if chinese and shape in {"day", "instant"} else _BY_KIND[shape]
    return samples.get(".".join(path[-2:]), samples.get(path[-1], usual))

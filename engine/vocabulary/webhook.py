"""The action that tells a system of the owner's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from engine.language.phrases import Phrase, phrase
from engine.language.placeholders import ANYTHING, NAMES, ListOf, Shape
from engine.vocabulary.comparisons import JsonSchema
from engine.vocabulary.messages import Channel
from engine.vocabulary.reading import Reader

#: What a receiver has no use for: links and pictures are made for messages, and lists of matches for alerts.
_NOT_TOLD = frozenset({"links", "matches", "coupon.qr"})


@dataclass(frozen=True)
class Webhook:
    """A signed POST."""

    about: ClassVar[str] = phrase("Tell a system of your own by a signed POST: the match, the guest's id, the coupon.")
    example: ClassVar[str] = "- webhook:\n    to: loyalty-app\n    values:\n      - customer.first_name"
    channel: ClassVar[Channel | None] = None
    does_something: ClassVar[bool] = True
    to: str
    values: tuple[str, ...] = ()

    @classmethod
    def schema(cls) -> JsonSchema:
        """Where to, and with which values."""
        return {
            "type": ["string", "object"],
            "additionalProperties": False,
            "required": ["to"],
            "description": cls.about,
            "x-also": {"url": "to", "name": "to", "data": "values", "send": "values"},
            "properties": {
                "to": {
                    "type": "string",
                    "x-names": "webhooks",
                    "description": phrase("A name under webhooks in config/regulars.yaml."),
                },
                "values": {
                    "type": "array",
                    "minItems": 1,
                    "uniqueItems": True,
                    "items": {"type": "string"},
                    "description": phrase("What it is told besides, by the names of templates: customer.first_name."),
                },
            },
        }

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read ``loyalty-app`` or the settings."""
        given = reader.settings("to")
        webhooks = reader.around.config.webhooks
        where = phrase("webhooks of config/regulars.yaml has")
        reader.setting("to").known(phrase("webhook"), given["to"], webhooks, "unknown-webhook", where)
        for index, value in enumerate(given.get("values", ())):
            if not _is_told(value):
                reader.under("values", index).problem(
                    phrase('there is no value "{value}"', value=value),
                    "unknown-value",
                    hint=phrase("such as customer.first_name, order.total or store.name, as in templates"),
                )
        return cls(given["to"], tuple(given.get("values", ())))

    def sentence(self) -> Phrase:
        """Say it in English."""
        return phrase('webhook "{name}"', name=self.to)


def _is_told(value: str) -> bool:
    shape: Shape = NAMES
    if value in _NOT_TOLD or value.partition(".")[0] in _NOT_TOLD:
        return False
    for part in value.split("."):
        if shape == ANYTHING:
            return True
        if isinstance(shape, ListOf) or not isinstance(shape, Mapping) or part not in shape:
            return False
        shape = shape[part]
    return True

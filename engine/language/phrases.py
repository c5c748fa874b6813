"""What is said to an owner, in English and in other languages: a template and its values, kept apart.

A phrase is a ``str``, its English text; so it can be printed, compared and sent like any other. It also remembers what
it was made of, so that ``said(phrase, "zh")`` can say it again from the catalogue ``translations/zh.po``, whose
``msgid`` are the English templates. Joined with ``+`` or an f-string it is only English: make one phrase of the whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol, Self, runtime_checkable

#: The languages that an owner can be spoken to in; English needs no catalogue.
LANGUAGES: Final = ("en", "zh")
TRANSLATIONS: Final = Path(__file__).with_name("translations")


class Phrase(str):
    """An English text that knows its template and values. Made by ``phrase`` and ``listed``."""

    __slots__ = ("template", "values")

    template: str
    values: Mapping[str, Any]

    @classmethod
    def made(cls, template: str, values: Mapping[str, Any]) -> Self:
        """Fill the template (``str.format``, ``KeyError`` for a value that is missing)."""
        self = cls(template.format(**values) if values else template.replace("{{", "{").replace("}}", "}"))
        self.template, self.values = template, values
        return self

    def said(self, language: str) -> str:
        """Say it in a language; English where the catalogue has no such template."""
        template = catalogue(language).get(self.template) or self.template
        values = {name: said(value, language) for name, value in self.values.items()}
        return Phrase.made(template, values)[:]


class Listed(Phrase):
    """Several texts in a row, joined as the language joins them."""

    __slots__ = ("members",)

    members: tuple[Any, ...]

    def said(self, language: str) -> str:
        """Say each, and join them by the language's own marks."""
        return _joined([str(said(each, language)) for each in self.members], self.template, language)


@runtime_checkable
class InWords(Protocol):
    """A value that is written one way in YAML and said another in a sentence, such as a duration."""

    def in_words(self) -> Phrase:
        """Say it; in English this is what ``str`` gives."""
        ...


def phrase(template: str, /, **values: Any) -> Phrase:
    """Make a phrase: ``phrase('there is no {what} "{name}"', what=phrase("template"), name=name)``.

    Values that are phrases are translated with it; other values stay as they are, also format specs (``{n:,}``).
    """
    return Phrase.made(template, values)


def listed(members: Iterable[Any], mark: str = ", ") -> Listed:
    """Join texts: ``mark`` is ``", "``, ``" or "``, ``" and "`` or ``" nor "`` (translated with the catalogue)."""
    members = tuple(members)
    made = Listed(mark.join(str(each) for each in members))
    made.template, made.values, made.members = mark, {}, members
    return made


def said(value: Any, language: str) -> Any:
    """Say a phrase, or what has words of its own, in a language; whatever is neither passes unchanged."""
    if language == "en":
        return value
    if isinstance(value, Phrase):
        return value.said(language)
    return value.in_words().said(language) if isinstance(value, InWords) else value


def meant(near: str | None) -> str:
    """Give the end of a message that asks whether ``near`` was meant; nothing where there is no such word."""
    return phrase(' - did you mean "{near}"?', near=near) if near else ""


def told(error: BaseException) -> str:
    """Give the text with which an error was raised, still a phrase if it was one: ``str`` would make it English."""
    return error.args[0] if error.args and isinstance(error.args[0], str) else str(error)


def _joined(texts: list[str], mark: str, language: str) -> str:
    return (catalogue(language).get(mark) or mark).join(texts)


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """Give the templates of a language by their English ones; empty for English and for an unknown language."""
    file = TRANSLATIONS / f"{language}.po"
    if language == "en" or not file.exists():
        return {}
    from babel.messages.pofile import read_po

    with file.open("rb") as opened:
        read = read_po(opened, locale=language)
    return {str(message.id): str(message.string) for message in read if message.id and message.string}

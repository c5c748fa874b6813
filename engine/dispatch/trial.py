"""Templates rendered on trial with sample values: what goes wrong only when a message is made is found before."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from engine.dispatch.present import Dresser
from engine.dispatch.render import sandbox, style_of
from engine.language.config import Config
from engine.language.phrases import Phrase, phrase
from engine.language.pieces import pieces
from engine.language.placeholders import ANYTHING, NAMES, ListOf, Shape
from engine.language.problems import Problem
from engine.language.templatecheck import problem_at
from engine.language.templates import FOLDER, FileName, Template, file_name

if TYPE_CHECKING:
    from jinja2 import Environment

#: A value of each kind, as the database gives them.
_SAMPLES: Final[Mapping[str, Any]] = {
    "text": "Springfield",
    "number": 12,
    "money": 1250,
    "day": "2026-05-14",
    "instant": "2026-05-14T18:30:00+00:00",
    "image": "K7QM2XRT9BWNH",
    ANYTHING: {},
}


def try_out(templates: Mapping[str, Template], config: Config) -> list[Problem]:
    """Render every text of every sound template with sample values; give what cannot be, each at its file and line."""
    trial = _Trial(_values(config))
    texts = [
        (f"{FOLDER}/{template.name}/{file}", name, text)
        for template in templates.values()
        if not template.broken
        for file, text in template.files.items()
        if (name := file_name(file)) is not None
    ]
    trial.pieces_of((name, text) for _, name, text in texts)
    return [problem for shown, name, text in texts for problem in trial.of_text(shown, name, text)]


def _values(config: Config) -> dict[str, Any]:
    business = config.business
    values = {name: _sample(shape) for name, shape in NAMES.items()}
    values["business"] |= {
        "name": business.name,
        "country": business.country,
        "language": business.language,
        "currency": business.currency,
    }
    values["store"]["country"] = business.country
    return {**values, "zone": str(business.timezone)}


def _sample(shape: Shape) -> Any:
    if isinstance(shape, ListOf):
        return [_sample(shape.of)]
    if isinstance(shape, Mapping):
        return {name: _sample(below) for name, below in shape.items()}
    return _SAMPLES[shape]


class _Trial:
    """The sample values, dressed once for each language, and where they are filled in."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self._environments = {escape: sandbox(escape=escape) for escape in (False, True)}
        self._dressed: dict[str, Mapping[str, Any]] = {}
        self._sound: dict[bool, set[str]] = {False: set(), True: set()}  # pieces that can be rendered, by ``escape``

    def pieces_of(self, texts: Iterable[tuple[FileName, str]]) -> None:
        """Render what the texts are made of, each piece once: where all of them can be, so can the texts."""
        wanted: dict[bool, set[str]] = {}
        languages = {True: set[str](), False: set[str]()}
        for name, text in texts:
            escape, known = name.ending != "txt", pieces(text)
            if known is not None:
                wanted.setdefault(escape, set()).update(known.codes)
                languages[escape].add(self._language(name))
        for escape, codes in wanted.items():
            joined = "\n".join(sorted(codes))
            if not any(_trouble(self._environments[escape], joined, self._in(each)) for each in languages[escape]):
                self._sound[escape] = codes

    def of_text(self, shown: str, name: FileName, text: str) -> Iterator[Problem]:
        """Give what goes wrong with one text, which ``shown`` holds."""
        escape, known = name.ending != "txt", pieces(text)
        if known is not None and known.codes <= self._sound[escape]:
            return
        found = _trouble(self._environments[escape], text, self._in(self._language(name)))
        if found is not None:
            line, said = found
            yield problem_at(text, shown, line, "", said, "template-fails")

    def _language(self, name: FileName) -> str:
        language: str = name.language or self._values["business"]["language"]
        return language

    def _in(self, language: str) -> Mapping[str, Any]:
        if language not in self._dressed:
            self._dressed[language] = Dresser(style_of(language, self._values), {}).dress(self._values)
        return self._dressed[language]


def _trouble(environment: Environment, text: str, dressed: Mapping[str, Any]) -> tuple[int, Phrase] | None:
    """Give line and description of what fails when the text is filled in; None: nothing does."""
    from jinja2 import TemplateError
    from jinja2.exceptions import SecurityError

    try:
        environment.from_string(text).render(dressed)
    except ZeroDivisionError as error:
        return _line(error), phrase("filled in with usual values this divides by zero")
    except SecurityError as error:
        return _line(error), phrase("this is not allowed in a template")
    except TypeError as error:
        return _line(error), phrase("these values cannot be put together so: a text is no number")
    except (
        TemplateError, ValueError, ArithmeticError, LookupError, AttributeError, MemoryError, RecursionError
    ) as error:  # fmt: skip
        why = str(error) or type(error).__name__
        return _line(error), phrase("filled in with usual values this fails: {why}", why=why)
    return None


def _line(error: BaseException) -> int:
    """Give the line of the template in which an error arose; Jinja writes it into the traceback."""
    lines = [frame.lineno or 1 for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "<template>"]
    return lines[-1] if lines else 1

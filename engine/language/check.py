"""Compare a document with a schema and say every difference in an owner's words, at its place.

Schemas are JSON Schema draft-07 without ``oneOf`` and ``anyOf``. They may carry annotations of ours, none of which
changes what is valid: ``x-name`` (how messages call a section, such as ``a rule``), ``x-also`` (``{word that people
try: word that is meant}``), ``x-elsewhere`` (``{name: what to say of it}``, for what does not belong here), ``x-says``
(what a ``pattern`` wants, in words), ``x-secret`` (never repeat the value), ``x-words`` (the names here are words of
the language, which may stand in another part of the file by mistake) and ``x-narrow`` (what is misplaced is not looked
for in here).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from engine.language.document import Document, Path
from engine.language.fitting import plainly_fits
from engine.language.formats import FORMATS, fits
from engine.language.misplaced import Places, name_of, resolve
from engine.language.phrases import Phrase, meant, phrase, told
from engine.language.problems import Problem, ordered
from engine.language.wording import did_you_mean, found, nearest, one_of, section_hint, short, type_hint, types, wanted
from engine.language.yamlerrors import FULL_WIDTH_COMMA, FULL_WIDTH_COMMA_CURE, colon_trouble

if TYPE_CHECKING:
    from jsonschema import Draft7Validator

__all__ = ["FORMATS", "check", "did_you_mean", "found", "nearest"]

_ALL: Final = object()
#: What says nothing more of a value of a wrong type.
_OF_A_TYPE: Final = frozenset({"enum", "format", "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
_CURE_OF_CLEAR_TEXT: Final = phrase(
    "The secret itself belongs into the environment that Regulars runs in, or into a file."
)


def check(document: Document, schema: Mapping[str, Any], at: Path = (), data: Any = _ALL) -> list[Problem]:
    """Give all problems of a document, or of the part of it at ``at``, by a schema; sorted, never only the first.

    Args:
        document: what was read.
        schema: for the part at ``at``.
        at: the path of that part.
        data: what to check instead of what stands there; its parts keep their places.
    """
    if data is _ALL:
        data = document.data
        for part in at:
            data = data[part]
    if plainly_fits(data, schema):
        return []
    return _Check(document, schema, at, Places(schema, at)).run(data)


@cache
def _validator_class() -> type[Draft7Validator]:
    from jsonschema import Draft7Validator, validators

    exact = Draft7Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    )
    made: type[Draft7Validator] = validators.extend(Draft7Validator, type_checker=exact)  # type: ignore[no-untyped-call]
    return made


@cache
def _format_checker() -> Any:
    from jsonschema import FormatChecker

    checker = FormatChecker(formats=())

    def guarded(name: str, parse: Callable[[Any], object]) -> Callable[[object], bool]:
        def is_right(value: object) -> bool:
            if fits(name, value):
                parse(value)
            return True

        return is_right

    for name, parse in FORMATS.items():
        checker.checks(name, raises=ValueError)(guarded(name, parse))
    return checker


@dataclass(frozen=True, slots=True)
class _Difference:
    """One finding of jsonschema, with the types that our schemas give it."""

    word: str  #: the keyword of the schema that is not met
    path: Path
    schema: Mapping[str, Any]
    instance: Any
    message: str
    cause: object
    is_name: bool  #: about the name of a key, not its value

    @classmethod
    def of(cls, error: Any) -> _Difference:
        is_name = "propertyNames" in list(error.absolute_schema_path)[-2:]
        path = tuple(error.absolute_path)
        return cls(str(error.validator), path, error.schema, error.instance, error.message, error.cause, is_name)


@dataclass(slots=True)
class _Check:
    document: Document
    schema: Mapping[str, Any]
    at: Path
    places: Places
    problems: list[Problem] = field(default_factory=list)
    meant: set[Path] = field(default_factory=set)  #: keys that stand there misspelt, so that they are not missing

    def run(self, data: Any) -> list[Problem]:
        validator = _validator_class()(self.schema, format_checker=_format_checker())
        differences = [_Difference.of(error) for error in validator.iter_errors(data)]
        wrong_type = {one.path for one in differences if one.word == "type"}
        order = {"additionalProperties": 1, "required": 3}  # misplaced words first: they explain what is missing
        for one in sorted(differences, key=lambda one: 0 if one.is_name else order.get(one.word, 2)):
            if one.word in _OF_A_TYPE and one.path in wrong_type:
                continue
            if not self.document.is_broken((*self.at, *one.path)) and one.path not in self.places.emptied:
                self._tell(one, one.path)
        return ordered(self.problems)

    def _tell(self, error: _Difference, path: Path) -> None:
        if error.is_name and (hint := error.schema.get("x-elsewhere", {}).get(error.instance)):
            said = phrase(
                '"{word}" is not known in {name}{meant}', word=error.instance, name=self._name(path), meant=""
            )
            self.places.emptied.add((*path, error.instance))
            self._say((*path, error.instance), said, "unknown-key", hint, on_key=True)
            return
        if error.is_name:
            self._say((*path, str(error.instance)), self._cause(error), "bad-name", on_key=True)
            return
        teller = _TELLERS.get(error.word)
        if teller is None:
            message = phrase("{name}: {said}", name=self._name(path, error.schema), said=error.message)
            self._say(path, message, "not-allowed")
        else:
            teller(self, error, path)

    def _say(self, path: Path, message: str, code: str, hint: str = "", *, on_key: bool = False) -> None:
        on: Any = "key" if on_key else "value"
        self.problems.append(self.document.problem((*self.at, *path), message, code, on=on, hint=hint))

    def _name(self, path: Path, schema: Any = None) -> str:
        """How to call what stands at ``path``."""
        return name_of((*self.at, *path), schema)

    @staticmethod
    def _cause(error: _Difference) -> str:
        """Say why a text has not the format that is wanted."""
        if isinstance(error.cause, Exception):
            return told(error.cause)
        return phrase('"{value}" may not stand here', value=short(str(error.instance)))

    # -- one method for each keyword of the schema --------------------------------------------------------------------

    def unknown_key(self, error: _Difference, path: Path) -> None:
        known = error.schema.get("properties", {})
        patterns = error.schema.get("patternProperties", {})
        also = error.schema.get("x-also", {})
        for key in error.instance:
            if key in known or any(re.search(pattern, key) for pattern in patterns):
                continue
            if self.document.is_broken((*self.at, *path, key)):
                continue
            name = self._name(path, error.schema)
            near = ""
            trouble = colon_trouble(key)
            hint = error.schema.get("x-elsewhere", {}).get(key) or self.places.hint(key, path, error)
            if not hint and trouble:
                message, hint = (
                    phrase('"{word}" is not known in {name}: {why}', word=short(key), name=name, why=trouble[0]),
                    trouble[2],
                )
                self._say((*path, key), message, "unknown-key", hint, on_key=True)
                continue
            if not hint:
                near = also.get(key) or nearest(key, known) or ""
                self.meant.add((*path, near))
                hint = phrase("{name} takes no settings.", name=name)
                if known:
                    hint = phrase("Known in {name}: {words}.", name=name, words=one_of(known))
            message = phrase('"{word}" is not known in {name}{meant}', word=short(key), name=name, meant=meant(near))
            self._say((*path, key), message, "unknown-key", hint, on_key=True)

    def missing_key(self, error: _Difference, path: Path) -> None:
        key = next(name for name in error.schema["required"] if error.message.startswith(repr(name)))
        if (*path, key) in self.meant:
            return
        about = resolve(self.schema, error.schema.get("properties", {}).get(key, {})).get("description", "")
        hint = phrase("{key}: {about}", key=key, about=about) if about else ""
        self._say(
            path, phrase('{name} needs "{key}"', name=self._name(path, error.schema), key=key), "missing-key", hint
        )

    def wrong_type(self, error: _Difference, path: Path) -> None:
        name, value, schema = self._name(path), error.instance, error.schema
        wants = wanted(schema)
        if value is None and path and isinstance(path[-1], int):
            said = phrase("nothing stands after this -")
            self._say(path, said, "empty", phrase("Write out what belongs there, or remove the line."))
        elif value is None:
            message = phrase("{name} is empty; it wants {wanted}", name=name, wanted=wants)
            self._say(path, message, "empty", section_hint(schema))
        elif schema.get("x-secret"):
            message = phrase("{name} wants {wanted}", name=name, wanted=wants)
            self._say(path, message, "secret-in-clear", _CURE_OF_CLEAR_TEXT)
        else:
            trouble = colon_trouble(value) if isinstance(value, str) and "object" in types(schema) else None
            message = phrase("{name} wants {wanted}, not {found}", name=name, wanted=wants, found=found(value))
            hint = type_hint(schema, value, (*self.at, *path))
            self._say(path, *(trouble or (message, "wrong-type", hint)))

    def not_one_of(self, error: _Difference, path: Path) -> None:
        allowed = error.schema["enum"] if "enum" in error.schema else [error.schema["const"]]
        value = error.instance
        shown, near, hint = found(value), None, phrase("Known: {words}.", words=one_of(allowed))
        if isinstance(value, str) and FULL_WIDTH_COMMA.search(value):
            shown, hint = phrase('"{word}"', word=short(value)), FULL_WIDTH_COMMA_CURE
        elif isinstance(value, str):
            near = error.schema.get("x-also", {}).get(value) or nearest(
                value, [one for one in allowed if isinstance(one, str)]
            )
            shown = phrase('"{word}"', word=short(value))
        message = phrase(
            "{found} is not known for {name}{meant}", found=shown, name=self._name(path), meant=meant(near)
        )
        self._say(path, message, "not-one-of", hint)

    def bad_format(self, error: _Difference, path: Path) -> None:
        message = phrase("{name}: {said}", name=self._name(path), said=self._cause(error))
        if error.schema.get("x-secret"):
            self._say(path, message, "secret-in-clear", _CURE_OF_CLEAR_TEXT)
        else:
            self._say(path, message, f"bad-{error.schema['format']}")

    def bad_pattern(self, error: _Difference, path: Path) -> None:
        says = error.schema.get("x-says") or error.schema.get("description") or phrase("another form")
        shown = phrase('"{word}"', word=short(error.instance))
        self._say(
            path,
            phrase("{name} wants {wanted}, not {found}", name=self._name(path), wanted=says, found=shown),
            "bad-form",
        )

    def too_small(self, error: _Difference, path: Path) -> None:
        schema = error.schema
        bound = phrase("more than {number}", number=schema.get("exclusiveMinimum"))
        if "minimum" in schema:
            bound = phrase("{number} or more", number=schema["minimum"])
        self._beyond(error, path, bound, "too-small")

    def too_large(self, error: _Difference, path: Path) -> None:
        schema = error.schema
        bound = phrase("less than {number}", number=schema.get("exclusiveMaximum"))
        if "maximum" in schema:
            bound = phrase("{number} or less", number=schema["maximum"])
        self._beyond(error, path, bound, "too-large")

    def _beyond(self, error: _Difference, path: Path, bound: Phrase, code: str) -> None:
        name = self._name(path)
        self._say(
            path, phrase("{name} is {value}; it must be {bound}", name=name, value=error.instance, bound=bound), code
        )

    def too_short(self, error: _Difference, path: Path) -> None:
        name, least = self._name(path), error.schema["minLength"]
        if not error.instance:
            self._say(path, phrase("{name} is an empty text", name=name), "empty")
        else:
            self._say(path, phrase("{name} must have {n} letters or more", name=name, n=least), "too-short")

    def too_long(self, error: _Difference, path: Path) -> None:
        name, most = self._name(path), error.schema["maxLength"]
        said = phrase("{name} has {n} letters; {most} are the most", name=name, n=len(error.instance), most=most)
        self._say(path, said, "too-long")

    def too_few(self, error: _Difference, path: Path) -> None:
        least = error.schema.get("minItems") or error.schema.get("minProperties")
        name = self._name(path, error.schema)
        if not error.instance:
            message = phrase("{name} is empty; it wants {wanted}", name=name, wanted=wanted(error.schema))
            self._say(path, message, "empty", section_hint(error.schema))
        else:
            n = len(error.instance)
            message = phrase("{name} has {n} entries; it wants {least} or more", name=name, n=n, least=least)
            if n == 1:
                message = phrase("{name} has one entry; it wants {least} or more", name=name, least=least)
            self._say(path, message, "too-few")

    def too_many(self, error: _Difference, path: Path) -> None:
        most = error.schema.get("maxItems") or error.schema.get("maxProperties")
        name = self._name(path, error.schema)
        message = phrase("{name} has {n} entries; {most} is the most", name=name, n=len(error.instance), most=most)
        self._say(path, message, "too-many")

    def repeated(self, error: _Difference, path: Path) -> None:
        values = error.instance
        for number, value in enumerate(values):
            if value in values[:number]:
                message = phrase("{name} names {value} twice", name=self._name(path), value=short(str(value)))
                self._say((*path, number), message, "repeated")


_TELLERS: Final[dict[str, Callable[[_Check, _Difference, Path], None]]] = {
    "additionalProperties": _Check.unknown_key,
    "required": _Check.missing_key,
    "type": _Check.wrong_type,
    "enum": _Check.not_one_of,
    "const": _Check.not_one_of,
    "format": _Check.bad_format,
    "pattern": _Check.bad_pattern,
    "minimum": _Check.too_small,
    "exclusiveMinimum": _Check.too_small,
    "maximum": _Check.too_large,
    "exclusiveMaximum": _Check.too_large,
    "minLength": _Check.too_short,
    "maxLength": _Check.too_long,
    "minItems": _Check.too_few,
    "minProperties": _Check.too_few,
    "maxItems": _Check.too_many,
    "maxProperties": _Check.too_many,
    "uniqueItems": _Check.repeated,
}

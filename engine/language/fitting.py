"""Whether a value fits a schema, where that is plain: what is right is found right at once.

Of a hundred files ninety-nine are right, and jsonschema, which tells every difference, takes longer to be loaded than
they take to be checked. A yes from here is one that jsonschema would give too; what is not plain is left to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from numbers import Number
from typing import Any, Final

from engine.language.formats import FORMATS, fits

_Schema = Mapping[str, Any]
#: Of a keyword: what it wants, the value, the schema that it stands in, and the whole one.
_Test = Callable[[Any, Any, _Schema, _Schema], bool]
#: Keywords that forbid nothing, besides ours with ``x-``; ``then`` and ``else`` are not among them.
_SILENT: Final = frozenset({"$schema", "title", "description", "default", "examples", "definitions"})


def plainly_fits(value: Any, schema: _Schema, whole: _Schema | None = None) -> bool:
    """Tell whether ``value`` fits beyond doubt; False: it does not, or only jsonschema can tell.

    ``whole`` is the schema in which ``$ref`` are looked up; ``schema`` itself if left out.
    """
    whole = schema if whole is None else whole
    if "$ref" in schema:  # what stands beside it counts for nothing in draft-07
        return _refers(schema["$ref"], value, whole)
    for word, wanted in schema.items():
        test = _TESTS.get(word)
        if test is None:
            if word not in _SILENT and not word.startswith("x-"):
                return False
        elif not test(wanted, value, schema, whole):
            return False
    return True


def _fits(value: Any, schema: Any, whole: _Schema) -> bool:
    return schema if isinstance(schema, bool) else plainly_fits(value, schema, whole)


def _refers(wanted: str, value: Any, whole: _Schema) -> bool:
    found = whole.get("definitions", {}).get(wanted.removeprefix("#/definitions/"))
    return found is not None and _fits(value, found, whole)


def _is_number(value: Any) -> bool:
    return isinstance(value, Number) and not isinstance(value, bool)


_TYPES: Final[Mapping[str, Callable[[Any], bool]]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
}


def _type(wanted: str | list[str], value: Any, _: _Schema, __: _Schema) -> bool:
    return any(_TYPES[each](value) for each in ([wanted] if isinstance(wanted, str) else wanted))


def _enum(wanted: list[Any], value: Any, _: _Schema, __: _Schema) -> bool:
    return any(each == value and isinstance(each, bool) == isinstance(value, bool) for each in wanted)


def _format(wanted: str, value: Any, _: _Schema, __: _Schema) -> bool:
    parse = FORMATS.get(wanted)
    if parse is not None and fits(wanted, value):
        try:
            parse(value)
        except ValueError:
            return False
    return parse is not None


def _unique(wanted: bool, value: Any, _: _Schema, __: _Schema) -> bool:
    if not wanted or not isinstance(value, list):
        return True
    return all(isinstance(each, (str, int, float)) for each in value) and len(set(value)) == len(value)


def _properties(wanted: _Schema, value: Any, _: _Schema, whole: _Schema) -> bool:
    return not isinstance(value, dict) or all(
        _fits(value[name], schema, whole) for name, schema in wanted.items() if name in value
    )


def _patterned(wanted: _Schema, value: Any, _: _Schema, whole: _Schema) -> bool:
    return not isinstance(value, dict) or all(
        _fits(each, schema, whole)
        for pattern, schema in wanted.items()
        for name, each in value.items()
        if re.search(pattern, name)
    )


def _others(wanted: Any, value: Any, schema: _Schema, whole: _Schema) -> bool:
    if not isinstance(value, dict):
        return True
    named, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    others = [name for name in value if name not in named]
    return all(
        _fits(value[name], wanted, whole)
        for name in others
        if not any(re.search(pattern, name) for pattern in patterns)
    )


def _items(wanted: Any, value: Any, _: _Schema, whole: _Schema) -> bool:
    if not isinstance(value, list):
        return True
    return not isinstance(wanted, list) and all(_fits(each, wanted, whole) for each in value)


_TESTS: Final[Mapping[str, _Test]] = {
    "type": _type,
    "enum": _enum,
    "const": lambda wanted, value, schema, whole: _enum([wanted], value, schema, whole),
    "format": _format,
    "pattern": lambda wanted, value, *_: not isinstance(value, str) or re.search(wanted, value) is not None,
    "minimum": lambda wanted, value, *_: not _is_number(value) or value >= wanted,
    "maximum": lambda wanted, value, *_: not _is_number(value) or value <= wanted,
    "exclusiveMinimum": lambda wanted, value, *_: not _is_number(value) or value > wanted,
    "exclusiveMaximum": lambda wanted, value, *_: not _is_number(value) or value < wanted,
    "minLength": lambda wanted, value, *_: not isinstance(value, str) or len(value) >= wanted,
    "maxLength": lambda wanted, value, *_: not isinstance(value, str) or len(value) <= wanted,
    "minItems": lambda wanted, value, *_: not isinstance(value, list) or len(value) >= wanted,
    "maxItems": lambda wanted, value, *_: not isinstance(value, list) or len(value) <= wanted,
    "uniqueItems": _unique,
    "minProperties": lambda wanted, value, *_: not isinstance(value, dict) or len(value) >= wanted,
    "maxProperties": lambda wanted, value, *_: not isinstance(value, dict) or len(value) <= wanted,
    "required": lambda wanted, value, *_: not isinstance(value, dict) or all(name in value for name in wanted),
    "properties": _properties,
    "patternProperties": _patterned,
    "additionalProperties": _others,
    "propertyNames": lambda wanted, value, _, whole: (
        not isinstance(value, dict) or all(_fits(name, wanted, whole) for name in value)
    ),
    "items": _items,
}

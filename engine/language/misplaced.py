"""Where a word belongs that stands in the wrong section: a wrong indentation is the usual cause."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.language.document import Path
from engine.language.phrases import listed, phrase
from engine.language.wording import short

#: How far down a misplaced word is looked for: a rule, its actions, a step, the step's word.
_DEEPEST = 4


@dataclass(slots=True)
class Places:
    """The sections of one document by its schema; ``at`` is where what the schema is of stands in its file."""

    schema: Mapping[str, Any]
    at: Path
    emptied: set[Path] = field(default_factory=set)  #: sections that are empty because their lines stand elsewhere

    def hint(self, key: str, path: Path, error: Any) -> str:
        """Say where ``key`` belongs, which the section at ``path`` does not know; nothing where nobody can tell.

        ``error`` has that section as ``instance`` and its schema as ``schema``.
        """
        section, known = error.instance, error.schema.get("properties", {})
        for sibling in section:
            inner = resolve(self.schema, known.get(sibling, {}))
            if section[sibling] is None and key in inner.get("properties", {}):
                self.emptied.add((*path, sibling))
                return phrase(
                    '"{word}" belongs to "{section}": indent it further, below "{section}:".', word=key, section=sibling
                )
        if beside := self._beside(key, section, error.schema):
            return beside
        above = list(sections(self.schema, path))
        for length in range(len(path) - 1, -1, -1):
            if key in above[length].get("properties", {}):
                name = name_of((*self.at, *path[:length]), above[length])
                return phrase('"{word}" belongs to {name}: indent it less.', word=key, name=name)
        inner = {one: resolve(self.schema, known[one]) for one in known}
        inside = [one for one in known if key in inner[one].get("properties", {}) and not inner[one].get("x-narrow")]
        if len(inside) == 1:
            return phrase(
                '"{word}" belongs to "{section}": write it below "{section}:", indented.', word=key, section=inside[0]
            )
        if above[-1].get("x-words") or (not path and key not in error.schema.get("x-also", {})):
            return self._word_of(key)
        return ""

    def _beside(self, key: str, section: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
        """Say it of a setting that stands beside, or above, the word that it is a setting of."""
        words = {word: (value, inner) for word, value, inner in self._below(section, schema) if key in inner}
        if not words:
            return ""
        if len(words) > 1:
            names = listed((phrase('"{word}"', word=word) for word in words), " or ")
            return phrase('"{word}" belongs inside {sections}.', word=key, sections=names)
        word, (value, inner) = next(iter(words.items()))
        if value is None or isinstance(value, (dict, list)):
            return phrase(
                '"{word}" belongs inside "{section}": write it below "{section}:", beside its settings.',
                word=key,
                section=word,
            )
        return phrase(
            '"{word}" belongs inside "{section}": write "{first}: {value}" below it, and "{word}" beside that.',
            word=key,
            section=word,
            first=next(iter(inner)),
            value=short(str(value)),
        )

    def _below(self, data: Any, schema: Any, depth: int = 0) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
        """Yield the words that stand below, each with its value and the settings that it knows."""
        schema = resolve(self.schema, schema)
        entries = data if isinstance(data, list) else ()
        for entry in entries if depth < _DEEPEST else ():
            yield from self._below(entry, schema.get("items", {}), depth + 1)
        for word, value in data.items() if isinstance(data, Mapping) and depth < _DEEPEST else ():
            inner = resolve(self.schema, schema.get("properties", {}).get(word, {}))
            yield str(word), value, inner.get("properties", {})
            yield from self._below(value, inner, depth + 1)

    def _word_of(self, key: str) -> str:
        """Say it of a word of another part of a rule, such as a trigger that stands among the conditions."""
        parts = self.schema.get("properties", {})
        words = {part: resolve(self.schema, parts[part]) for part in parts}
        words |= {part: resolve(self.schema, inner["items"]) for part, inner in words.items() if "items" in inner}
        found = [part for part, inner in words.items() if inner.get("x-words") and key in inner["properties"]]
        if not found:
            return ""
        where = listed((phrase('"{word}"', word=part) for part in found), " or ")
        return phrase('"{word}" is a word of {sections}, and does not stand here.', word=key, sections=where)


def name_of(path: Path, schema: Any = None) -> str:
    """Give how to call what stands at ``path`` of a file."""
    if isinstance(schema, Mapping) and "x-name" in schema:
        name: str = schema["x-name"]
        return name
    words = [part for part in path if isinstance(part, str)]
    return phrase('"{word}"', word=words[-1]) if words else phrase("this file")


def resolve(root: Mapping[str, Any], schema: Any) -> Mapping[str, Any]:
    """Follow ``$ref`` inside the schema ``root``."""
    for _ in range(10):
        if not isinstance(schema, Mapping) or "$ref" not in schema:
            break
        target: Any = root
        for part in str(schema["$ref"]).removeprefix("#").strip("/").split("/"):
            target = target.get(part, {}) if isinstance(target, Mapping) else {}
        schema = target
    return schema if isinstance(schema, Mapping) else {}


def sections(root: Mapping[str, Any], path: Path) -> Iterator[Mapping[str, Any]]:
    """Give the schema of the top and of each step of the path."""
    schema = resolve(root, root)
    yield schema
    for part in path:
        inner = schema.get("items", {}) if isinstance(part, int) else schema.get("properties", {}).get(part, {})
        schema = resolve(root, inner)
        yield schema

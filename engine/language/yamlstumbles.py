"""What the YAML parser stumbles over, in an owner's words.

The parser names the rule of YAML that was broken and the place where it noticed, often the line after the mistake. Here
the mistake itself is looked for, and given with its place, a code, and the cure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import yaml

from engine.language.phrases import listed, phrase
from engine.language.yamlerrors import (
    NO_SPACE_AFTER_DASH,
    ODD_SPACES,
    PLACEHOLDER,
    TAB,
    Place,
    Told,
    colon_trouble,
    key_type,
    odd_space,
    place_of_colon,
)

_STARTS = "@`%*&!|>,}]{[?"
_SAME_COLUMN = phrase("Lines of one section begin in the same column.")


def explain(lines: tuple[str, ...], error: yaml.MarkedYAMLError) -> Told:
    """Explain what stopped the parser: place, message, code, cure."""
    noticed = error.problem_mark or error.context_mark
    began = error.context_mark or noticed

    def inside(line: int, column: int) -> tuple[int, int]:
        # The end of the file is a place after its last line.
        line = min(line, len(lines) - 1)
        return line, min(column, len(lines[line]))

    stumble = _Stumble(
        lines,
        str(error.problem or ""),
        str(error.context or ""),
        *inside(noticed.line, noticed.column) if noticed else (0, 0),
        *inside(began.line, began.column) if began else (0, 0),
    )
    return stumble.told()


@dataclass(frozen=True, slots=True)
class _Stumble:
    """What the parser said: its words, where it noticed, and where the part began that it was reading. From 0."""

    lines: tuple[str, ...]
    trouble: str
    context: str
    line: int
    column: int
    since: int
    since_column: int

    def told(self) -> Told:
        if "quoted scalar" in self.context:
            return self.escape() if "escape" in self.trouble else self.unclosed_quote()
        return (
            self.wrong_sign()
            or self.glued_colon()
            or self.placeholder()
            or self.after_a_quote()
            or self.needs_quotes()
            or self.missing_colon()
            or self.colon_in_a_text()
            or self.unclosed_bracket()
            or self.list_out_of_place()
            or self.indentation()
        )

    @property
    def text(self) -> str:
        return self.lines[self.line]

    @property
    def near(self) -> list[int]:
        """Lines where the mistake may be, most likely first."""
        return [number for number in dict.fromkeys((self.since, self.above(), self.line)) if number >= 0]

    def above(self) -> int:
        """Give the nearest line above that holds more than blanks or a comment; -1: there is none."""
        for number in range(self.line - 1, -1, -1):
            if self.lines[number].strip() and not self.lines[number].lstrip().startswith("#"):
                return number
        return -1

    # -- signs that are wrong by themselves ---------------------------------------------------------------------------

    def wrong_sign(self) -> Told | None:
        for number in self.near:
            text = self.lines[number]
            blank = text[: len(text) - len(text.lstrip())]
            if "\t" in blank:
                return Place(number + 1, blank.index("\t") + 1, 1), *TAB
            odd = [blank.index(sign) for sign in ODD_SPACES if sign in blank]
            if odd:
                return Place(number + 1, min(odd) + 1, 1), *odd_space(text[min(odd) :])
        return None

    def glued_colon(self) -> Told | None:
        for number in self.near:
            said = colon_trouble(re.sub(r"^\s*(- +)*", "", self.lines[number]))
            if said:
                return place_of_colon(self.lines, number, said), *said
            dash = re.match(r"\s*-(?=[^\W\d])", self.lines[number])
            if dash:
                return Place(number + 1, dash.end(), 1), *NO_SPACE_AFTER_DASH
        return None

    # -- quotes -------------------------------------------------------------------------------------------------------

    def unclosed_quote(self) -> Told:
        text, at = self.lines[self.since], self.since_column
        place = Place(self.since + 1, at + 1, max(len(text.rstrip()) - at, 1))
        sign = text[at : at + 1]
        cure = phrase("Put a {sign} at the end of the text.", sign=sign)
        return place, phrase("this quote is never closed"), "unclosed-quote", cure

    def escape(self) -> Told:
        at = self.text.rfind("\\", 0, self.column + 1)
        at = self.column if at < 0 else at
        said = phrase("{sign} means nothing inside double quotes", sign=self.text[at : at + 2])
        cure = phrase("Write \\\\ for a backslash, or take single quotes.")
        return Place(self.line + 1, at + 1, 2), said, "bad-escape", cure

    def placeholder(self) -> Told | None:
        found = re.search(r"(?:^|[:\-]\s+)(\{\{)", self.text)
        return (Place(self.line + 1, found.start(1) + 1, 2), *PLACEHOLDER) if found else None

    def after_a_quote(self) -> Told | None:
        before = self.text[: self.column].rstrip()
        if before[-1:] not in {'"', "'"} or not ("expected key" in self.trouble or "block end" in self.trouble):
            return None
        cure = phrase('An apostrophe inside single quotes is written twice, or take double quotes: "it\'s".')
        if before[-1] == '"':
            cure = phrase('A " inside double quotes is written \\", or put the whole text in single quotes.')
        place = Place(self.line + 1, self.column + 1, max(len(self.text.rstrip()) - self.column, 1))
        return place, phrase("text stands after the closing quote"), "text-after-quote", cure

    def needs_quotes(self) -> Told | None:
        line, column = self.line, self.column
        if any(word in self.context for word in ("alias", "anchor", "block scalar", "directive", "tag")):
            line, column = self.since, self.since_column
        sign = self.lines[line][column : column + 1]
        if not sign or sign not in _STARTS or "flow sequence" in self.context or "flow mapping" in self.context:
            return None
        written = self.lines[line][column:].split(" #")[0].strip()
        quoted = f"'{written}'" if '"' in written else f'"{written}"'
        said = phrase('text that begins with "{sign}" needs quotes around it', sign=sign)
        cure = phrase("Write: {yaml}", yaml=quoted)
        return Place(line + 1, column + 1, len(written)), said, "quotes-needed", cure

    # -- colons -------------------------------------------------------------------------------------------------------

    def missing_colon(self) -> Told | None:
        line = self.since if "expected ':'" in self.trouble else -1
        if "mapping values" in self.trouble and self.above() >= 0:
            above = self.lines[self.above()]
            # A word alone, in the column of this line: the parser took both lines for one text.
            if _indent(above) == _indent(self.text) and re.match(r"\s*[A-Za-z_][\w-]*( |$)[^:]*$", above):
                line = self.above()
        words = self.lines[line].strip() if line >= 0 else ""
        if not words:
            return None
        name = words.split(" ")[0]
        cure = phrase("Write: {yaml}", yaml=f"{name}: {words[len(name) :].strip()}".rstrip())
        place = Place(line + 1, self.lines[line].index(words) + 1, len(words))
        return place, phrase('a colon is missing after "{name}"', name=name), "missing-colon", cure

    def colon_in_a_text(self) -> Told | None:
        first = re.match(r"\s*(?:- +)*([^:]+):\s+(?=\S)", self.text)
        if "mapping values" not in self.trouble or not first or first.end() > self.column:
            return None
        name, value = first.group(1), self.text[first.end() :].rstrip()
        quoted = value.replace("'", "''")
        said = phrase('the text after "{name}:" holds another colon; put quotes around it', name=name)
        place = Place(self.line + 1, first.end() + 1, len(value))
        return place, said, "colon-in-text", phrase("Write: {yaml}", yaml=f"{name}: '{quoted}'")

    # -- structure ----------------------------------------------------------------------------------------------------

    def unclosed_bracket(self) -> Told | None:
        if "flow" not in self.context:
            return None
        line, column = self.since, self.since_column
        if self.lines[line][column : column + 1] not in {"[", "{"}:
            opened = [
                (number, text.rindex(sign))
                for number, text in enumerate(self.lines[: self.line + 1])
                for sign in "[{"
                if sign in text
            ]
            line, column = max(opened, default=(line, column))
        sign = self.lines[line][column : column + 1] or "["
        closing = "}" if sign == "{" else "]"
        cure = phrase("Put a {sign} at its end; or a comma is missing between two of its parts.", sign=closing)
        said = phrase('this "{sign}" is never closed', sign=sign)
        return Place(line + 1, column + 1, 1), said, "unclosed-bracket", cure

    def list_out_of_place(self) -> Told | None:
        if "sequence entries" in self.trouble and self.text[: self.column].strip():
            said = phrase("a list begins on a line of its own")
            cure = phrase("Put the - on the next line, indented by two spaces.")
            return Place(self.line + 1, self.column + 1, 1), said, "indentation", cure
        if not re.match(r"- |-$", self.text.strip()) or self.above() < 0:
            return None
        said = phrase("this - does not stand below the list that it belongs to")
        cure = phrase("All - of one list stand in the same column, below or right of the list's name.")
        return self.whole_line(), said, "indentation", cure

    def indentation(self) -> Told:
        words, indent = self.text.strip(), _indent(self.text)
        if words.startswith(":"):
            return Place(self.line + 1, indent + 1, 1), *key_type("", None)
        if not words and self.above() >= 0:
            # The end of the file: what is unfinished stands above.
            number = self.above()
            text = self.lines[number]
            said = phrase("the file ends before this is finished")
            place = Place(number + 1, _indent(text) + 1, max(len(text.strip()), 1))
            return place, said, "unfinished", phrase("Check the quotes, brackets and colons of this line.")
        above = self.above()
        if "mapping values" in self.trouble and above >= 0 and indent > _indent(self.lines[above]):
            said = phrase("this line is indented further than the line above it, which has its value already")
            cure = phrase(
                "Lines of one section begin in the same column. Only what belongs to a line ending in a colon is "
                "indented."
            )
            return Place(self.line + 1, indent + 1, max(self.column - indent, 1)), said, "indentation", cure
        used = {_indent(text) for text in self.lines[: self.line] if text.strip() and text.lstrip()[0] != "#"}
        if indent in used or not used:
            said = phrase("this line does not fit what stands above it")
            cure = phrase("It is a name without a colon, a text that needs quotes, or a line in the wrong column.")
            return self.whole_line(), said, "misfit", cure
        said = phrase(
            "the indentation of this line fits no line above: it begins in column {column}, they in {columns}",
            column=indent + 1,
            columns=listed(number + 1 for number in sorted(used)),
        )
        return self.whole_line(), said, "indentation", _SAME_COLUMN

    def whole_line(self) -> Place:
        return Place(self.line + 1, _indent(self.text) + 1, max(len(self.text.strip()), 1))


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip(" "))

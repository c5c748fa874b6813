"""The words of the language as a page of Markdown and in the terminal: ``docs/reference.md`` and ``regulars words``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from engine.console.exits import unknown
from engine.console.page import Column, Page
from engine.language.phrases import phrase, said
from engine.vocabulary.reference import Entry, Section, Setting, sections

#: The page of each language, beside which the others are named at its top.
PAGES: Final[Mapping[str, str]] = {"en": "reference.md", "zh": "reference.zh.md"}
_NAMES: Final[Mapping[str, str]] = {"en": "English", "zh": "中文"}


def _shared_words(name: str) -> str:
    return {
        "filters": phrase("and the order filters"),
        "period": phrase("and within, before, since, as in the order filters"),
        "numbers": phrase("and the tests on numbers"),
        "texts": phrase("and the tests on texts"),
    }[name]


# -- Markdown ---------------------------------------------------------------------------------------------------------


def markdown(language: str, words: Sequence[tuple[Section, Entry]]) -> str:
    """Give the reference page of ``words`` in a language of ``PAGES``; ends with a line break."""
    return "\n".join(_page(language, words)) + "\n"


def _page(language: str, words: Sequence[tuple[Section, Entry]]) -> Iterator[str]:
    def say(text: str) -> str:
        return str(said(text, language))

    yield f"# {say(phrase('The rule language'))}"
    yield ""
    others = [f"[{_NAMES[other]}]({page})" for other, page in PAGES.items() if other != language]
    made = phrase("Made from the program's own vocabulary by `make reference`; `regulars words` shows the same.")
    yield f"{' · '.join(others)} · {say(made)}"
    for section, entries in groupby(words, key=itemgetter(0)):
        yield from ("", f"## {say(section.title)}", "", say(section.about))
        for _, entry in entries:
            yield from _entry_lines(section, entry, language)


def _entry_lines(section: Section, entry: Entry, language: str) -> Iterator[str]:
    def say(text: str) -> str:
        return str(said(text, language))

    yield from ("", f"### {entry.word}", "", say(entry.about))
    if entry.notes:
        yield ""
        yield from (f"- {say(note)}" for note in entry.notes)
    yield from ("", f"{say(phrase('Takes'))}: {say(entry.value)}")
    if entry.settings or entry.shared:
        titles = (phrase("setting"), phrase("takes"), phrase("meaning"))
        yield from ("", f"| {' | '.join(say(title) for title in titles)} |", "|---|---|---|")
        for one in entry.settings:
            yield f"| `{_name(one)}` | {_cell(say(one.value))} | {_cell(say(one.about))} |"
        for name in entry.shared:
            yield f"| … | | {say(_shared_words(name))} |"
    yield from ("", "```yaml", *in_place(section, entry).splitlines(), "```")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("\n", " ")


def _name(setting: Setting) -> str:
    return ": ".join(setting.path)


def in_place(section: Section, entry: Entry) -> str:
    """Give a word's example below the word of the rule file under which it stands."""
    if not section.under:
        return entry.example
    return "\n".join([f"{section.under}:", *(f"  {line}" for line in entry.example.splitlines())])


# -- the terminal -----------------------------------------------------------------------------------------------------


def shown(name: str | None, shape: str, language: str) -> str:
    """Show every word in a line, or one whole wherever it stands; ``shape`` is text, json or markdown.

    Raises ``MistypedError`` for a word that is none.
    """
    if shape == "markdown":
        return markdown(language, _found(name))
    page = Page()
    if shape == "json":
        page.json_lines(_object(section, entry, language) for section, entry in _found(name))
    elif name is None:
        _all_words(page, language)
    else:
        for section, entry in _found(name):
            _one_word(page, section, entry, language)
    return page.text


def _found(name: str | None) -> list[tuple[Section, Entry]]:
    every = [(section, entry) for section in sections() for entry in section.entries]
    found = [(section, entry) for section, entry in every if name in {None, entry.word}]
    if name is not None and not found:  # a setting of words, or a name that an owner chose
        found = [(section, entry) for section, entry in every if _has(entry, name)]
    if name is not None and not found:
        raise unknown("word", name, {entry.word for _, entry in every})
    return found


def _has(entry: Entry, name: str) -> bool:
    free = entry.word.partition("<")[0]
    return any(name in one.path for one in entry.settings) or ("<" in entry.word and name.startswith(free))


def _all_words(page: Page, language: str) -> None:
    for section in sections():
        page.heading(said(section.title, language))
        rows = [(entry.word, said(entry.about, language)) for entry in section.entries]
        page.table([Column("", style="strong", whole=True), Column("")], rows, indent=2)
    page.line()
    page.line(said(phrase("More of one word: regulars words lapsed"), language))


def _one_word(page: Page, section: Section, entry: Entry, language: str) -> None:
    def say(text: str) -> str:
        return str(said(text, language))

    page.heading(f"{entry.word} · {say(section.title)}")
    page.line(say(entry.about))
    for note in entry.notes:
        page.line(f"- {say(note)}")
    page.line(f"{say(phrase('Takes'))}: {say(entry.value)}")
    if entry.settings or entry.shared:
        rows = [(_name(one), say(one.value), say(one.about)) for one in entry.settings]
        rows += [("…", "", say(_shared_words(name))) for name in entry.shared]
        page.line()
        page.table([Column("", style="strong", whole=True), Column(""), Column("")], rows, indent=2)
    page.line()
    page.verbatim("".join(f"    {line}\n" for line in in_place(section, entry).splitlines()))


def _object(section: Section, entry: Entry, language: str) -> dict[str, Any]:
    return {
        "section": section.name,
        "word": entry.word,
        "about": said(entry.about, language),
        "takes": said(entry.value, language),
        "settings": [
            {"name": _name(one), "takes": said(one.value, language), "about": said(one.about, language)}
            for one in entry.settings
        ],
        "shared": list(entry.shared),
        "notes": [said(note, language) for note in entry.notes],
        "example": in_place(section, entry),
    }

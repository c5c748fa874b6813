"""A readable text made from HTML: for the text part of a mail whose template has none, and to see what HTML shows."""

from __future__ import annotations

import re
from functools import lru_cache
from html.parser import HTMLParser
from typing import Final

_UNSHOWN: Final = frozenset({"head", "style", "script", "title", "template", "noscript"})
_VOID: Final = frozenset({"br", "hr", "img", "input", "meta", "link", "col", "wbr", "area", "base", "source"})
_PARAGRAPHS: Final = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6", "table", "ul", "ol", "blockquote", "hr"})
_LINES: Final = frozenset({"div", "tr", "li", "section", "header", "footer", "td", "th"})
_BLANKS: Final = re.compile(r"\s+")
_MANY_BLANKS: Final = re.compile(r" {2,}")
_EMPTY_LINES: Final = re.compile(r"\n{3,}")
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)


@lru_cache(maxsize=4)  # a mail's HTML is read for its text part, and again for what its reader sees
def text_of(html: str) -> str:
    """Give what a reader of ``html`` sees: lines, links as ``words (address)``, pictures by their ``alt`` text."""
    reader = Reader()
    reader.feed(html)
    reader.close()
    return reader.text()


def tidy(text: str) -> str:
    """Give lines without blanks too many, and no two empty lines in a row."""
    lines = [each.strip() for each in _MANY_BLANKS.sub(" ", text).split("\n")]
    return _EMPTY_LINES.sub("\n\n", "\n".join(lines)).strip()


def shown_link(words: str, address: str) -> str:
    """Give what is shown of a link behind its words: its address, where they do not say it."""
    words, address = " ".join(words.split()), " ".join(address.split())
    if not address or address.startswith("#") or address in {words, f"mailto:{words}", f"tel:{words}"}:
        return ""
    return f" ({address})" if words else address


def shown_picture(words: str) -> str:
    """Give what is shown of a picture by its words."""
    words = " ".join(words.split())
    return f"{words} " if words else ""


class Reader(HTMLParser):
    """Gathers what is seen of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._open: list[tuple[str, bool]] = []  # each open element, and whether its inside is hidden
        self._links: list[str] = []  # addresses of the open links
        self._words: list[int] = []  # where the words of each begin

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element, and what it does to the lines."""
        given = {name: value or "" for name, value in attrs}
        hidden = tag in _UNSHOWN or "hidden" in given or _HIDDEN.search(given.get("style", "")) is not None
        if tag not in _VOID:
            self._open.append((tag, hidden or self._is_hidden))
        if self._is_hidden or hidden:
            return
        self._break(tag)
        if tag == "br":
            self._parts.append("\n")
        elif tag == "li":
            self._parts.append("- ")
        elif tag == "img":
            self.picture(given.get("alt", ""))
        elif tag == "a":
            self.begin_link(given.get("href", ""))

    def handle_endtag(self, tag: str) -> None:
        """End it, and what was left open in it."""
        if not any(tag == name for name, _ in self._open):
            return
        hidden = self._is_hidden
        while self._open.pop()[0] != tag:
            pass
        if hidden:
            return
        if tag == "a" and self._links:
            self.end_link()
        self._break(tag)

    def handle_data(self, data: str) -> None:
        """Note words, their blanks made one."""
        if not self._is_hidden:
            self._parts.append(_BLANKS.sub(" ", data))

    def text(self) -> str:
        """Give the text that was seen."""
        return tidy("".join(self._parts))

    def begin_link(self, address: str) -> None:
        """Note where a link's words begin."""
        self._links.append(address)
        self._words.append(len(self._parts))

    def end_link(self) -> None:
        """Put its address behind a link's words."""
        self._parts.append(shown_link("".join(self._parts[self._words.pop() :]), self._links.pop()))

    def picture(self, words: str) -> None:
        """Note what is said instead of a picture."""
        self._parts.append(shown_picture(words))

    @property
    def _is_hidden(self) -> bool:
        return bool(self._open) and self._open[-1][1]

    def _break(self, tag: str) -> None:
        if tag in _PARAGRAPHS:
            self._parts.append("\n\n")
        elif tag in _LINES:
            self._parts.append("\n")

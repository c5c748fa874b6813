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
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)


@lru_cache(maxsize=4)  # a mail's HTML is read for its text part, and again for what its reader sees
def text_of(html: str) -> str:
    """Give what a reader of ``html`` sees: lines, links as ``words (address)``, pictures by their ``alt`` text."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.text()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._open: list[tuple[str, bool]] = []  # each open element, and whether its inside is hidden
        self._links: list[tuple[str, int]] = []  # address and where its words begin

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
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
        elif tag == "img" and given.get("alt"):
            self._parts.append(f"{given['alt']} ")
        elif tag == "a":
            self._links.append((given.get("href", ""), len(self._parts)))

    def handle_endtag(self, tag: str) -> None:
        if not any(tag == name for name, _ in self._open):
            return
        hidden = self._is_hidden
        while self._open.pop()[0] != tag:
            pass
        if hidden:
            return
        if tag == "a" and self._links:
            self._end_link()
        self._break(tag)

    def handle_data(self, data: str) -> None:
        if not self._is_hidden:
            self._parts.append(re.sub(r"\s+", " ", data))

    def text(self) -> str:
        lines = [re.sub(r" +", " ", line).strip() for line in "".join(self._parts).split("\n")]
        return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()

    @property
    def _is_hidden(self) -> bool:
        return bool(self._open) and self._open[-1][1]

    def _break(self, tag: str) -> None:
        if tag in _PARAGRAPHS:
            self._parts.append("\n\n")
        elif tag in _LINES:
            self._parts.append("\n")

    def _end_link(self) -> None:
        address, begin = self._links.pop()
        words = " ".join("".join(self._parts[begin:]).split())
        if address and not address.startswith("#") and address not in {words, f"mailto:{words}", f"tel:{words}"}:
            self._parts.append(f" ({address})" if words else address)

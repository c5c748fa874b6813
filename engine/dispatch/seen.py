"""What a reader of a template's HTML sees, as a template of its own: made once per version, filled in like any other.

Reading a message's HTML takes longer than making it. But what it shows differs from one message to the next only in
its values: so the HTML is read with marks where those stand, and what is read, marks and all, becomes the template.

A template whose values could change how its HTML is read (one in a style, one that is a tag, an element that begins in
one branch and ends in another) has none, and each of its messages is read by itself. So is one with a value of markup.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from engine.dispatch.plaintext import Reader, shown_link, shown_picture, tidy

if TYPE_CHECKING:
    from jinja2 import Environment, Template, nodes

#: Around the number of a value; around a link's words and its address; around a picture's words.
_VALUE, _END = "\ue000", "\ue001"
_LINK, _TO, _LINKED = "\x01", "\x02", "\x03"
_PICTURE, _PICTURED = "\x04", "\x05"
_MARKS: Final = re.compile("[\ue000\ue001\x01-\x05]")
_LEFT_OVER: Final = re.compile("[\x01-\x05]")
_NUMBER: Final = re.compile(f"{_VALUE}(\\d+){_END}")
#: A value that would be part of a tag, or of the name of a sign.
_PART: Final = re.compile(f"(<[/!?]?|&[#\\w]*){_VALUE}")
_QUOTED: Final = re.compile(r"\"[^\"]*\"|'[^']*'")
_A_LINK: Final = re.compile("\x01([^\x01-\x03]*)\x02([^\x01-\x03]*)\x03")
_A_PICTURE: Final = re.compile("\x04([^\x04\x05]*)\x05")
_BLANKS: Final = re.compile(r"\s+")


class UnsteadyError(Exception):
    """What a reader sees depends on more than where the values stand."""


def flat(value: Any) -> Any:
    """Give a value as a reader sees it among the words of a page; it is safe to be put there as it is."""
    from markupsafe import Markup

    if hasattr(value, "__html__"):
        value = value.__html__()
        if "<" in value or "&" in value:
            raise UnsteadyError
    text = str(value)
    return Markup(text if text.isprintable() else _BLANKS.sub(" ", text))  # noqa: S704 (no page is made of it)


def text_template(environment: Environment, source: str) -> Template | None:
    """Give the template of what a reader of ``source`` sees, or None where it has none.

    ``environment`` reads HTML as that of the page does, and gives its values by ``flat``. What is rendered goes through
    ``as_seen``.
    """
    if _MARKS.search(source):
        return None
    tree = environment.parse(source)
    try:
        _Outline().read(tree.body)
    except UnsteadyError:
        return None
    return environment.from_string(tree)


def as_seen(rendered: str) -> str:
    """Give the text of a filled-in template of ``text_template``: what ``text_of`` gives for the same page."""
    rendered = _A_PICTURE.sub(lambda picture: shown_picture(picture[1]), rendered)
    found = 1
    while found:  # an inner link before the one around it
        rendered, found = _A_LINK.subn(lambda link: link[1] + shown_link(link[1], link[2]), rendered)
    return tidy(_LEFT_OVER.sub("", rendered))


class _Outline(Reader):
    """Reads a tree of Jinja and puts in place of its HTML what is seen of that."""

    def __init__(self) -> None:
        super().__init__()
        self._values: list[nodes.Expr] = []

    def read(self, tree: list[nodes.Node]) -> None:
        """Read the nodes of one branch, which must leave off where it began."""
        from jinja2 import nodes

        begin = ([*self._open], [*self._links])
        for node in tree:
            if isinstance(node, nodes.Output):
                node.nodes = list(self._seen(node))
            elif isinstance(node, nodes.If):
                for branch in (node.body, node.elif_, node.else_):
                    self.read(branch)  # type: ignore[arg-type]  # a list of a kind of node
            elif isinstance(node, nodes.For):
                self.read(node.body)
                self.read(node.else_)
            elif not isinstance(node, nodes.Assign):
                raise UnsteadyError
        if begin != ([*self._open], [*self._links]):
            raise UnsteadyError

    def _seen(self, node: nodes.Output) -> Iterator[nodes.Expr]:
        from jinja2 import nodes

        page = "".join(each.data if isinstance(each, nodes.TemplateData) else self._marked(each) for each in node.nodes)
        if _PART.search(page):
            raise UnsteadyError
        self._parts.clear()
        self.feed(page)
        if self.rawdata:  # a tag, or a style, that goes on behind a branch
            raise UnsteadyError
        for place, piece in enumerate(_NUMBER.split("".join(self._parts))):
            if place % 2:
                yield self._values[int(piece)]
            elif piece:
                yield nodes.TemplateData(piece, lineno=node.lineno, environment=node.environment)

    def _marked(self, value: nodes.Expr) -> str:
        self._values.append(value)
        return f"{_VALUE}{len(self._values) - 1}{_END}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        whole = self.get_starttag_text() or ""
        if _VALUE in whole and (_VALUE in _QUOTED.sub("", whole) or _VALUE in (dict(attrs).get("style") or "")):
            raise UnsteadyError
        super().handle_starttag(tag, attrs)

    def begin_link(self, address: str) -> None:
        self._links.append(address)
        self._parts.append(_LINK)

    def end_link(self) -> None:
        self._parts.append(f"{_TO}{self._links.pop()}{_LINKED}")

    def picture(self, words: str) -> None:
        self._parts.append(f"{_PICTURE}{words}{_PICTURED}")
